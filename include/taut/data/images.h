#pragma once
// Labelled images: read from IDX, CIFAR, Parquet and folders into memory, and handed out as
// batches.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "taut/core/share.h"
#include "taut/core/thread_pool.h"
#include "taut/data/reader.h"

namespace taut::data {

/// Labelled images of one size, 8 bits a channel, in memory.
struct ImageSet {
  std::int64_t count = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;               ///< 1 (grey) or 3 (red, green, blue)
  std::int64_t classes = 0;                ///< labels are in [0, classes)
  std::vector<std::uint8_t> pixels;        ///< [count, height, width, channels]
  std::vector<std::int32_t> labels;        ///< [count]
  std::vector<std::string> class_names{};  ///< [classes], or empty where the files name none
  BadRows bad_rows{};                      ///< records left out with on_bad = skip
  /// [count], 1 for a bad record that keeps its place (unlabelled sets); empty: there is none.
  std::vector<std::uint8_t> bad{};
};

/// What to read.
struct ImageSourceOptions {
  /// One or more sources, joined in this order; each is, by its content:
  /// - an IDX image file (MNIST; gzip or not). Its labels are the file of the same name with labels
  ///   for images and idx1 for idx3, plain or with .gz, beside it; or the next entry, if that is an
  ///   IDX file of labels.
  /// - a CIFAR-10 or CIFAR-100 binary file (data_batch_1.bin, train.bin).
  /// - a Parquet file with a column of JPEG or PNG files (bytes, or a struct with a field bytes)
  /// and
  ///   one of labels.
  /// - a folder with a sub-folder for each class, holding .jpg, .jpeg and .png files (any case).
  ///   Classes and files are taken in name order (by bytes).
  /// A file may be a glob. An entry may end in a range, [begin:end], which keeps those of its
  /// images, counted from 0, a negative number counting from the end, either may be left out:
  /// "train.parquet[0:45000]", "train-images-idx3-ubyte.gz[-5000:]".
  std::vector<std::string> files;
  /// Parquet: the column of labels (whole numbers from 0, or texts), "" to detect (label, labels,
  /// fine_label, class, y, target, or the only column of such a type). CIFAR-100: "fine" (also for
  /// "") or "coarse".
  std::string labels = {};
  std::string image = {};  ///< Parquet: the column of image files, "" to detect
  /// Pixels of a side, for image files of differing sizes: the shorter side is scaled to it and the
  /// middle square is kept. 0: all images must have one size already.
  std::int64_t size = 0;
  std::int64_t limit = 0;    ///< the first so many images of all; 0: all
  std::int64_t classes = 0;  ///< a label at or above is an error; 0: the highest label + 1
  /// The classes in order, where files name them (folders, text labels): so that two sets agree.
  /// Empty: the names met, sorted.
  std::vector<std::string> class_names = {};
  /// Labels are not needed: those that are there are not read, all are 0. A folder's images may lie
  /// in it without sub-folders, an entry may be one .jpg or .png.
  bool unlabelled = false;
  /// What to do with a record that is no image, has no label, or has a label outside the classes.
  OnBadRow on_bad = OnBadRow::kFail;
  int threads = 0;  ///< that decode; 0: one per processor. No effect on what comes out.
  std::shared_ptr<ThreadPool> pool = {};  ///< decodes instead of such threads; null: these
};

/// Reads everything into memory. Grey image files in a set that has colour become colour; alpha is
/// dropped, 16 bits become 8. A progress bar appears where it takes more than two seconds.
/// Errors, naming file and record (from 0): kNotFound (file, label file, column), kFormat (not of a
/// known format, cut short, damaged), kData (bad record, differing sizes, no images, no label),
/// kConfig (range, options), kIo.
[[nodiscard]] ImageSet read_images(const ImageSourceOptions& options);

/// Whether an entry looks like images to read_images(): an IDX file, a Parquet file with a column
/// of bytes, a CIFAR file called .bin, or a folder with images in sub-folders (and no config.toml,
/// for then it is a run). False for a path that is not there.
[[nodiscard]] bool holds_images(const std::string& entry);

/// Images [begin, end) as a set of its own. Errors: kInvalidArgument for an empty range or one
/// outside the set.
[[nodiscard]] ImageSet slice(const ImageSet& images, std::int64_t begin, std::int64_t end);

/// Random changes of training images.
struct Augmentation {
  /// Crop: the image is moved by whole pixels, -crop_padding to crop_padding in each direction
  /// (uniform), and what comes in at the border is zero after normalization.
  std::int64_t crop_padding = 0;
  bool flip = false;  ///< left and right change places in half of the images
};

/// Value of a pixel after normalization: (x / 255 - mean) / deviation, for each channel.
struct Normalization {
  std::vector<float> mean{};       ///< [channels], of values in 0..1; empty: 0
  std::vector<float> deviation{};  ///< [channels], above 0; empty: 1
};

/// Mean and standard deviation of each channel over all pixels; a deviation of 0 becomes 1. Exact
/// sums, so the same bits for any number of threads (0: one per processor).
[[nodiscard]] Normalization measure_normalization(const ImageSet& images, int threads = 0);
[[nodiscard]] Normalization measure_normalization(const ImageSet& images, ThreadPool& pool);

/// Images as a network reads them. Reused between reads: next() refills it in place.
struct ImageBatch {
  std::int64_t size = 0;
  std::vector<float> pixels;         ///< [size, height, width, channels], normalized
  std::vector<std::int64_t> labels;  ///< [size]
  std::int64_t whole = 0;            ///< images of the batch over all shares; size for one share
  std::int64_t begin = 0;            ///< place of the first image in the pass
};

/// How a pass over a set is made.
struct ImageBatchOptions {
  std::int64_t batch_size = 128;
  std::uint64_t seed = 1;
  std::int64_t epoch = 0;
  bool shuffle = false;  ///< a random order that depends on (seed, epoch); false: the set's order
  Augmentation augmentation{};
  Normalization normalization{};
  bool drop_last = false;  ///< leaves out a last batch that is not full
  bool prefetch = true;    ///< makes the next batch in a thread of its own, ahead of next()
  /// This process's share of each batch, handed out in pieces of so many images: see share_of().
  /// All shares together are the batches of one process. A share may be empty.
  Share share{};
  std::int64_t piece = 1;
};

/// One pass over a set. Batch i has the same bits for the same set and options, whatever the number
/// of threads and however many batches were skipped before it: order and augmentation are functions
/// of (seed, epoch, place in the pass).
/// Threads: one caller at a time; the pool may be shared. The set must live as long and not change.
class ImageBatches {
 public:
  using Options = ImageBatchOptions;

  /// pool: what augments and normalizes; null: the thread that makes the batch, alone.
  /// Errors: kInvalidArgument for batch_size or piece < 1, a share that is none, a crop_padding
  /// below 0 or not below the shorter side, a normalization of another number of channels or with a
  /// deviation not above 0.
  ImageBatches(const ImageSet& images, const Options& options, std::shared_ptr<ThreadPool> pool);
  ~ImageBatches();
  ImageBatches(const ImageBatches&) = delete;
  ImageBatches& operator=(const ImageBatches&) = delete;

  /// Fills the batch; false at the end. The last batch may be smaller.
  bool next(ImageBatch& batch);
  /// Leaves out the next n batches, at no cost. Errors: kInvalidArgument below 0.
  void skip(std::int64_t batches);
  /// Batches of the whole pass.
  [[nodiscard]] std::int64_t batches() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taut::data
