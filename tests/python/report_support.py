"""Made-up runs and pages for the tests of reports."""

import html.parser

from taut import report

VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}


def metrics_line(step, **fields):
    line = {
        "step": step,
        "examples": step * 2048,
        "seconds": step / 100,
        "loss": 0.7 - 0.1 * step / 100,
        "auc": 0.5 + 0.2 * step / 100,
        "memory_bytes": 1_000_000,
        "budget_bytes": 1_048_576,
        "memory_parts": {"values": 700_000, "index": 300_000},
        "resident_rows": 10 * step,
        "rows_by_width": [0, 6 * step, 3 * step, step],
        "rebalance_seconds": step / 1000,
    }
    return {key: value for key, value in {**line, **fields}.items() if value is not ...}


def summary_of(method, auc, memory=1_000_000, **fields):
    return {
        "method": method,
        "auc": auc,
        "log_loss": 1 - auc,
        "normalized_entropy": 0.9,
        "examples_per_second": 123456.7,
        "memory_bytes": memory,
        "full_bytes": 10_000_000,
        "compression": 10_000_000 / memory,
        "seed": 1,
        "threads": 2,
        "steps": 100,
        **fields,
    }


CSV_HEADER = "method,budget,seed,auc,log_loss,normalized_entropy,memory_bytes,full_bytes,examples_per_second\n"


class Page(html.parser.HTMLParser):
    """Collects what a page loads, its visible text, and tags that are not closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.loads, self.words, self.cells, self.scripts = [], [], [], [], 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] in ("script", "style"):
            return
        self.words.append(data)
        if self.open[-1] in ("td", "th"):
            self.cells[-1] += data  # a break inside a word parts it

    @property
    def text(self):
        return " ".join(self.words)


def page_of(*folders):
    text = report.make_page(list(folders))
    page = Page(text)
    assert page.open == []
    return text, page


def image_line(step, rates=(0.3, 0.5), **fields):
    line = {"step": step, "examples": step * 128, "seconds": step / 10, "loss": 2 / step, "top1": 0.4 + step / 200}
    return {**line, "winner_rates": list(rates), "pruned_share": 0.5 * step / 100, **fields}


def image_summary(top1=0.75, **fields):
    layer = {"multiply_adds": 4e6, "weight_density": 0.5, "output_density": 1.0}
    site = {"never": 0.1, "always": 0.2, "entropy_bits": 0.6}
    return {
        "task": "image",
        "model": "vgg-small",
        "top1": top1,
        "log_loss": 1 - top1,
        "layers": [
            {"layer": "conv1", "input_density": 1.0, **layer},
            {"layer": "conv2", "input_density": 0.3, **layer},
        ],
        "sites": [
            {"layer": "relu1", "natural_density": 0.6, "density": 0.3, **site},
            {"layer": "relu2", "natural_density": 0.7, "density": 0.5, **site},
        ],
        "multiply_adds": {"dense": 8e6, "needed": 2.6e6},
        "winner_rates": [0.3, 0.5],
        "pruned_share": 0.5,
        "parameters": 180_000,
        "seed": 1,
        "steps": 100,
        **fields,
    }
