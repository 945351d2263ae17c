#include <doctest/doctest.h>

#include <filesystem>

#include "data/file.h"
#include "data/open.h"
#include "tests/data_files.h"
#include "tests/scratch.h"

using namespace ebb;
using namespace data_test;

namespace {

Bytes idx_images(int count) {
  Bytes bytes = bytes_of({0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2});
  for (int i = 0; i < 4 * count; ++i) bytes.push_back(static_cast<std::byte>(10 * i));
  return bytes;
}
Bytes idx_labels(std::initializer_list<int> labels) {
  Bytes bytes = bytes_of({0, 0, 8, 1, 0, 0, 0, static_cast<int>(labels.size())});
  for (const int label : labels) bytes.push_back(static_cast<std::byte>(label));
  return bytes;
}
Bytes cifar(int label_bytes, int count) {
  return Bytes(static_cast<std::size_t>((label_bytes + 3072) * count), std::byte{1});
}

void write_idx(const Scratch& folder, const std::array<const char*, 4>& names) {
  write_file(folder / names[0], idx_images(3));
  write_file(folder / names[1], idx_labels({0, 2, 1}));
  write_file(folder / names[2], idx_images(2));
  write_file(folder / names[3], idx_labels({2, 2}));
}

constexpr std::array<const char*, 4> kUsual = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                               "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

}  // namespace

TEST_CASE("IDX files are found under each of their usual names") {
  const std::array<const char*, 4> namings[] = {
      kUsual,
      {"train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte",
       "t10k-labels.idx1-ubyte"},
      {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "test-images-idx3-ubyte",
       "test-labels-idx1-ubyte"}};
  for (const auto& names : namings) {
    const Scratch folder;
    write_idx(folder, names);
    write_file(folder / "README", bytes_of({'x'}));
    const DataSet data = open_data(folder.path() + "/");
    CHECK(data.train.count() == 3);
    CHECK(data.test.labels == std::vector<std::int32_t>{2, 2});
    CHECK(data.train.classes == 3);
    CHECK(data.test.classes == 3);
    CHECK(data.augmentation == Augmentation::none());
    CHECK(data.train.normalization == measure_normalization(data.train));
    CHECK(data.test.normalization == data.train.normalization);
    CHECK(describe(data) == data.name + ": 3 training and 2 test images of [2, 2, 1], 3 classes");
    CHECK(folder.path().ends_with(data.name));
  }
}

TEST_CASE(
    "CIFAR files are found, joined in the order of their numbers, and come with their augmentation "
    "and normalisation") {
  const Scratch ten, hundred;
  write_file(ten / "data_batch_1.bin", cifar(1, 2));
  write_file(ten / "data_batch_2.bin", cifar(1, 3));
  write_file(ten / "test_batch.bin", cifar(1, 1));
  write_file(hundred / "train.bin", cifar(2, 4));
  write_file(hundred / "test.bin", cifar(2, 2));
  struct Case {
    std::string folder, name;
    std::int64_t train, test;
    int classes;
  };
  for (const Case& c :
       {Case{ten.path(), "cifar-10", 5, 1, 10}, Case{hundred.path(), "cifar-100", 4, 2, 100}}) {
    const DataSet data = open_data(c.folder);
    CHECK(data.name == c.name);
    CHECK(data.train.count() == c.train);
    CHECK(data.test.count() == c.test);
    CHECK(data.train.classes == c.classes);
    CHECK(data.augmentation == Augmentation{.pad = 4, .flip = true});
    CHECK(data.test.normalization.mean == std::vector{0.4914f, 0.4822f, 0.4465f});
    CHECK(data.train.normalization.std == std::vector{0.2023f, 0.1994f, 0.2010f});
  }
}

TEST_CASE(
    "a folder that holds no set, a part of one or several is refused with what was looked for and "
    "found") {
  struct Case {
    const char* why;
    void (*fill)(const Scratch&);
    std::vector<const char*> messages;
  };
  const Case cases[] = {
      {"empty",
       [](const Scratch&) {},
       {"looked for IDX files (train-images-idx3-ubyte", "data_batch_1.bin", "train.bin",
        "found no files", "dataset-fashion-mnist"}},
      {"other files", [](const Scratch& s) { write_file(s / "cat.jpg", {}); }, {"found cat.jpg"}},
      {"a level too high",
       [](const Scratch& s) {
         std::filesystem::create_directory(s / "sub");
         write_file(s / "sub/train.bin", cifar(2, 1));
       },
       {"Sets lie in", "/sub: give one of these"}},
      {"no labels",
       [](const Scratch& s) { write_idx(s, kUsual), std::filesystem::remove(s / kUsual[1]); },
       {"looks like IDX, but lacks train-labels-idx1-ubyte"}},
      {"no test",
       [](const Scratch& s) { write_file(s / "train.bin", cifar(2, 1)); },
       {"looks like CIFAR-100, but lacks test.bin", "found train.bin"}},
      {"a gap",
       [](const Scratch& s) {
         for (const char* name : {"data_batch_1.bin", "data_batch_3.bin", "test_batch.bin"})
           write_file(s / name, cifar(1, 1));
       },
       {"looks like CIFAR-10, but lacks data_batch_2.bin"}},
      {"two sets",
       [](const Scratch& s) {
         write_idx(s, kUsual);
         write_file(s / "test.bin", cifar(2, 1));
       },
       {"files of several sets, IDX and CIFAR-100"}},
      {"one part twice",
       [](const Scratch& s) {
         write_idx(s, kUsual);
         write_file(s / "train-images.idx3-ubyte", idx_images(1));
       },
       {"two files for one part: train-images-idx3-ubyte and train-images.idx3-ubyte"}},
      {"a test label beyond the training classes",
       [](const Scratch& s) {
         write_idx(s, kUsual);
         write_file(s / kUsual[3], idx_labels({0, 3}));
       },
       {"t10k-labels-idx1-ubyte: label 3 of image 1 is outside 0 .. 2"}},
      {"test images of another shape",
       [](const Scratch& s) {
         write_idx(s, kUsual);
         write_file(s / kUsual[2],
                    bytes_of({0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6}));
       },
       {"has images of shape [2, 2, 1]", "has [1, 1, 1]"}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Scratch folder;
    c.fill(folder);
    const std::string message = message_of<DataError>([&] { open_data(folder.path()); });
    CAPTURE(message);
    CHECK(contains(message, folder.path()));
    for (const char* part : c.messages) {
      CAPTURE(part);
      CHECK(contains(message, part));
    }
  }
}

TEST_CASE("a name that is no folder is refused, with the embedded set it may have meant") {
  CHECK(contains(message_of<DataError>([] { open_data("sinthetic"); }),
                 "no such folder: 'sinthetic'; did you mean 'synthetic'?"));
  CHECK(contains(message_of<DataError>([] { open_data("/no/such/place"); }),
                 "no such folder: '/no/such/place'. Give a folder with IDX files"));
  CHECK(contains(message_of<DataError>([] { open_data(__FILE__); }), "not a folder: "));
  CHECK(contains(message_of<DataError>([] { open_data(""); }), "no such folder: ''"));
}

TEST_CASE("plain files are preferred to packed ones of the same name") {
  const Scratch folder;
  write_idx(folder, kUsual);
  write_file(folder / "train-images-idx3-ubyte.gz", bytes_of({'n', 'o', ' ', 'g', 'z'}));
  CHECK(open_data(folder.path()).train.count() == 3);
}

TEST_CASE("the real folders open as what they are") {
  struct Case {
    const char* folder;
    const char* description;
  };
  const Case cases[] = {
      {"mnist", "mnist: 60000 training and 8000 test images of [28, 28, 1], 10 classes"},
      {"cifar-100-binary",
       "cifar-100: 15000 training and 2500 test images of [32, 32, 3], 100 classes"}};
  for (const Case& c : cases) {
    const auto folder = real_data(c.folder);
    if (folder.empty()) {
      MESSAGE("skipped: no folder ", c.folder, " under EBB_TEST_DATA or ../shared/data");
      continue;
    }
    CHECK(describe(open_data(folder.string())) == c.description);
  }
}
