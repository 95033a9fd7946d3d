// Nothing of its own: a target that reads shared headers once needs a source file
// (taut_test_headers).
