#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "data/coco.h"
#include "data/detection_open.h"
#include "data/draw.h"
#include "data/voc.h"
#include "data_files.h"
#include "scratch.h"

using namespace ebb;
using namespace data_test;

namespace {

namespace fs = std::filesystem;

void put(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

void put_picture(const std::string& path, std::int64_t width, std::int64_t height,
                 std::uint8_t value = 90) {
  fs::create_directories(fs::path(path).parent_path());
  write_png(
      {.height = height,
       .width = width,
       .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width * height * 3), value)},
      path);
}

std::string object(const std::string& name, const std::string& bounds,
                   const std::string& more = "") {
  return "<object><name>" + name + "</name>" + more + "<bndbox>" + bounds + "</bndbox></object>";
}
std::string bounds(const char* xmin, const char* ymin, const char* xmax, const char* ymax) {
  return concat("<xmin>", xmin, "</xmin><ymin>", ymin, "</ymin><xmax>", xmax, "</xmax><ymax>", ymax,
                "</ymax>");
}
std::string annotation(const std::string& objects, const char* width = "20",
                       const char* height = "10") {
  return concat("<?xml version=\"1.0\"?>\n<annotation><size><width>", width, "</width><height>",
                height, "</height><depth>3</depth></size>", objects, "</annotation>");
}
const std::string kBounds = bounds("2", "3", "12", "9");

/// A VOC set of two pictures to train, one to validate and one to test, which can then be spoilt.
void make_voc(const std::string& root) {
  for (const char* id : {"a", "b", "c", "d"}) {
    put(root + "/Annotations/" + id + ".xml", annotation(object("cell", kBounds)));
    put_picture(root + "/JPEGImages/" + id + ".png", 20, 10);
  }
  put(root + "/Annotations/b.xml", annotation(object("blob", kBounds, "<difficult>1</difficult>")));
  put(root + "/ImageSets/Main/train.txt", "a\nb\r\n\n");
  put(root + "/ImageSets/Main/val.txt", "c\n");
  put(root + "/ImageSets/Main/test.txt", "d");
  put(root + "/ImageSets/Main/trainval.txt", "a\nb\nc\n");
}

const char* const kInstances = R"({"images": [
  {"id": 7, "file_name": "x.png", "width": 20, "height": 10},
  {"id": 3, "file_name": "y.png", "width": 8, "height": 8}],
 "categories": [{"id": 9, "name": "dog"}, {"id": 2, "name": "cat"}],
 "annotations": [
  {"image_id": 3, "category_id": 9, "bbox": [1, 2, 3, 4.5], "iscrowd": 1, "segmentation": [[1, 2]]},
  {"image_id": 7, "category_id": 2, "bbox": [0, 0, 20, 10]},
  {"image_id": 7, "category_id": 2, "bbox": [5, 5, 0, 3], "iscrowd": 0}]})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("VOC's pixels, which count from 1, become edges") {
  const VocAnnotation read = parse_voc(
      annotation(object("cell", bounds("1", "1", "20", "10"), "<truncated>1</truncated>") +
                 object("cell", bounds("5", "5.5", " 5.5\n", "7"),
                        "<difficult>1</difficult>"
                        "<part><name>nose</name><bndbox><xmin>x</xmin></bndbox></part>") +
                 object("cell", bounds("5", "5", "5", "7"))),
      "x");
  CHECK(read.width == 20);
  CHECK(read.height == 10);
  REQUIRE(read.objects.size() == 2);
  CHECK(read.objects[0].box == Box{0, 0, 20, 10});
  CHECK(read.objects[0].truncated);
  CHECK(!read.objects[0].difficult);
  CHECK(read.objects[1].box == Box{4, 4.5f, 5.5f, 7});
  CHECK(read.objects[1].difficult);
  CHECK(read.dropped == 1);  // xmin = xmax
}

TEST_CASE("annotations that are not what they should be are refused with their place") {
  struct Case {
    const char* why;
    std::string xml;
    const char* message;
  };
  const Case cases[] = {
      {"empty", "", "not XML"},
      {"cut off", annotation("").substr(0, 60), "not XML at byte"},
      {"another document", "<svg/>", "x <annotation>: is missing"},
      {"no size", "<annotation/>", "x <annotation> <size>: is missing"},
      {"no width", annotation("", "wide"),
       "<width>: expected a whole number of at least 1, got 'wide'"},
      {"no height", annotation("", "20", "0"),
       "<height>: expected a whole number of at least 1, got '0'"},
      {"no name", annotation("<object><bndbox>" + kBounds + "</bndbox></object>"),
       "x: object 1 <name>: is missing"},
      {"no box", annotation(object("cell", kBounds) + "<object><name>cell</name></object>"),
       "x: object 2 <bndbox>: is missing"},
      {"three bounds", annotation(object("cell", "<xmin>1</xmin><ymin>1</ymin><xmax>4</xmax>")),
       "<bndbox> <ymax>: is missing"},
      {"NaN", annotation(object("cell", bounds("nan", "1", "4", "4"))),
       "<xmin>: expected a number, got 'nan'"},
      {"infinite", annotation(object("cell", bounds("1", "1", "1e999", "4"))), "expected a number"},
      {"turned around", annotation(object("cell", bounds("9", "1", "4", "4"))),
       "expected a minimum and then a maximum, got 9 .. 4"},
      {"pixel 0", annotation(object("cell", bounds("0", "1", "4", "4"))),
       "expected pixels of a picture of 20 x 10, which count from 1, got 0 .. 4"},
      {"beyond the right edge", annotation(object("cell", bounds("1", "1", "21", "4"))),
       "got 1 .. 21"},
      {"beyond the bottom", annotation(object("cell", bounds("1", "1", "4", "10.5"))),
       "x 1 .. 10.5"},
      {"flag", annotation(object("cell", kBounds, "<difficult>yes</difficult>")),
       "<difficult>: expected 0 or 1, got 'yes'"},
      {"not UTF-8", annotation(object("c\xff", kBounds)), "is not UTF-8"},
      {"an entity of its own in a number",
       "<!DOCTYPE annotation [<!ENTITY ten \"10\">]>" + annotation("", "&ten;").substr(22),
       "expected a whole number of at least 1, got '&ten;'"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string message = message_of<DataError>([&] { parse_voc(c.xml, "x"); });
    CAPTURE(message);
    CHECK(contains(message, c.message));
  }
  // A billion laughs stay one word: nothing is expanded, so there is no such class.
  std::string bomb = "<!DOCTYPE annotation [<!ENTITY l0 \"laugh\">";
  for (const char* level : {"1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
    bomb += concat("<!ENTITY l", level, " \"");
    for (int i = 0; i < 10; ++i) bomb += concat("&l", static_cast<char>(level[0] - 1), ";");
    bomb += "\">";
  }
  bomb += "<!ENTITY f SYSTEM \"file:///etc/passwd\">]>";
  CHECK(parse_voc(bomb + annotation(object("&l9;&f;&lt;", kBounds)).substr(22), "x")
            .objects[0]
            .name == "&l9;&f;<");
}

TEST_CASE("a VOC folder gives its splits wherever it lies") {
  const Scratch scratch;
  make_voc(scratch / "VOCdevkit/CELLS");
  for (const char* where : {"", "VOCdevkit", "VOCdevkit/CELLS"}) {
    CAPTURE(where);
    const DetectionData data = open_detection(scratch / where);
    CHECK(describe(data) ==
          "CELLS: 2 training, 1 validation and 1 test pictures, 2 classes, 4 boxes");
    CHECK(data.train.classes == std::vector<std::string>{"blob", "cell"});
    CHECK(data.train.pictures[1].id == "b");
    CHECK(data.train.pictures[1].boxes[0].box == Box{1, 2, 12, 9});
    CHECK(data.train.pictures[1].boxes[0].difficult);
    CHECK(data.test.pictures[0].boxes[0].label == 1);
    CHECK(data.train.category_id(1) == 2);
  }
  const DetectionData both = open_detection(scratch.path(), TrainingSplit::trainval);
  CHECK(both.train.count() == 3);
  CHECK(both.validation.count() == 0);
  CHECK(both.test.count() == 1);

  const std::string before = both.test.fingerprint();
  put_picture(scratch / "VOCdevkit/CELLS/JPEGImages/d.png", 20, 10, 91);
  CHECK(open_detection(scratch.path()).test.fingerprint() != before);

  fs::remove(scratch / "VOCdevkit/CELLS/ImageSets/Main/test.txt");
  const DetectionData scored_on_val = open_detection(scratch.path());
  CHECK(scored_on_val.validation.count() == 0);
  CHECK(scored_on_val.test.pictures[0].id == "c");
  CHECK(contains(
      message_of<DataError>([&] { open_detection(scratch.path(), TrainingSplit::trainval); }),
      "test is missing"));

  put(scratch / "VOCdevkit/CELLS/Annotations/a.xml", annotation(object("dog", kBounds)));
  put(scratch / "VOCdevkit/CELLS/Annotations/b.xml", annotation(object("cat", kBounds)));
  const DetectionSet official = read_voc(scratch / "VOCdevkit/CELLS", "train");
  REQUIRE(official.classes.size() == 20);
  CHECK(official.classes[static_cast<std::size_t>(official.pictures[0].boxes[0].label)] == "dog");
}

TEST_CASE("VOC folders that do not hold what they promise are refused with the place") {
  struct Case {
    const char* why;
    std::map<std::string, std::string> files;  // "" removes
    const char* message;
  };
  const Case cases[] = {
      {"empty split", {{"ImageSets/Main/val.txt", "\n"}}, "val.txt: the split lists no pictures"},
      {"listed twice", {{"ImageSets/Main/train.txt", "a\na\n"}}, "'a' is listed twice"},
      {"a path", {{"ImageSets/Main/train.txt", "../a\n"}}, "without folder and ending, got '../a'"},
      {"no annotation", {{"Annotations/a.xml", ""}}, "Annotations/a.xml: no such file"},
      {"no picture", {{"JPEGImages/a.png", ""}}, "JPEGImages/a: no such picture"},
      {"no picture in it", {{"JPEGImages/a.png", "text"}}, "a.png: expected a JPEG or PNG picture"},
      {"a lie about the size",
       {{"Annotations/a.xml", annotation("", "20", "11")}},
       "20 x 10, got 20 x 11"},
      {"a class of the test split alone",
       {{"Annotations/d.xml", annotation(object("cel", kBounds))}},
       "d.xml: unknown class 'cel'; did you mean 'cell'?"},
      {"trained and tested on",
       {{"ImageSets/Main/test.txt", "a"}},
       "a.png is in CELLS train and in CELLS test"},
      {"nothing to be scored on",
       {{"ImageSets/Main/test.txt", ""}, {"ImageSets/Main/val.txt", ""}},
       "neither a test nor a val split"},
      {"two sets",
       {{"../OTHER/Annotations/a.xml", "x"}, {"../OTHER/ImageSets/Main/train.txt", "a"}},
       "holds several sets"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Scratch scratch;
    const std::string root = scratch / "VOCdevkit/CELLS";
    make_voc(root);
    for (const auto& [name, text] : c.files) {
      if (text.empty()) {
        fs::remove(root + "/" + name);
      } else {
        put(root + "/" + name, text);
      }
    }
    const std::string message = message_of<DataError>([&] { open_detection(scratch.path()); });
    CAPTURE(message);
    CHECK(contains(message, c.message));
  }
  const Scratch empty;
  CHECK(contains(message_of<DataError>([&] { open_detection(empty.path()); }), "found neither"));
  CHECK(contains(message_of<DataError>([] { open_detection("synthetik"); }),
                 "did you mean 'synthetic'"));
}

TEST_CASE("COCO's instances come in the order of images, classes in that of their ids") {
  const DetectionSet set = parse_coco(kInstances, "x");
  CHECK(set.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(set.category_ids == std::vector<std::int64_t>{2, 9});
  REQUIRE(set.count() == 2);
  CHECK(set.pictures[0].id == "7");
  REQUIRE(set.pictures[0].boxes.size() == 1);
  CHECK(set.pictures[0].boxes[0].box == Box{0, 0, 20, 10});
  CHECK(set.pictures[1].boxes[0].box == Box{1, 2, 4, 6.5f});
  CHECK(set.pictures[1].boxes[0].crowd);
  CHECK(set.pictures[1].boxes[0].label == 1);
  CHECK(set.dropped == 1);
}

TEST_CASE("COCO's instances that are not what they should be are refused with their place") {
  struct Case {
    const char* why;
    const char *from, *to;
    const char* message;
  };
  const Case cases[] = {
      {"cut off", "]})", "", "x: not JSON at byte"},
      {"not an object", "{\"images\"", "[{\"images\"", "not JSON"},
      {"no images", "\"images\"", "\"pictures\"", "x: has no member 'images'"},
      {"no list", "[{\"id\": 9, \"name\": \"dog\"}, {\"id\": 2, \"name\": \"cat\"}]", "3",
       "x.categories: expected a list, got number"},
      {"no id", "\"id\": 7, ", "", "x.images[0]: has no member 'id'"},
      {"twice", "\"id\": 7", "\"id\": 3", "x.images[1]: the id 3 is there twice"},
      {"category twice", "\"id\": 9", "\"id\": 2", "x.categories[1]: the id 2 is there twice"},
      {"no size", "\"width\": 20", "\"width\": 0", "a size of at least 1 x 1"},
      {"size is no number", "\"width\": 20", "\"width\": \"20\"",
       "x.images[0].width: expected a whole number, got string"},
      {"unknown image", "\"image_id\": 3", "\"image_id\": 4",
       "x.annotations[0].image_id: no picture has the id 4"},
      {"unknown category", "\"category_id\": 9", "\"category_id\": 3",
       "x.annotations[0].category_id: no category has the id 3; there are 2, 2 .. 9"},
      {"three numbers", "[1, 2, 3, 4.5]", "[1, 2, 3]",
       "x.annotations[0].bbox: expected [x, y, width, height], got 3 numbers"},
      {"negative size", "[1, 2, 3, 4.5]", "[1, 2, -3, 4.5]",
       "expected a size of 0 or more, got -3 x 4.5"},
      {"infinite", "[1, 2, 3, 4.5]", "[1, 2, 3, 1e300]",
       "bbox[3]: expected a number that float32 can hold"},
      {"outside", "[1, 2, 3, 4.5]", "[1, 2, 9, 4.5]",
       "expected a box inside its picture of 8 x 8, got 1 .. 10"},
      {"flag", "\"iscrowd\": 1", "\"iscrowd\": 2", "iscrowd: expected 0 or 1, got 2"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string message = message_of<DataError>([&] {
      parse_coco(c.to[0] == '\0' && std::string(c.from) == "]})"
                     ? std::string(kInstances).substr(0, 300)
                     : replaced(kInstances, c.from, c.to),
                 "x");
    });
    CAPTURE(message);
    CHECK(contains(message, c.message));
  }
  CHECK(contains(message_of<DataError>([] { parse_coco(std::string(100'000, '['), "x"); }),
                 "not JSON"));
}

TEST_CASE("a COCO folder gives its splits, and results come back as they were written") {
  const Scratch scratch;
  put(scratch / "annotations/instances_train2017.json", kInstances);
  put(scratch / "annotations/instances_val2017.json",
      replaced(replaced(kInstances, "x.png", "v.png"), "y.png", "w.png"));
  for (const char* name : {"train2017/x.png", "images/val2017/v.png"})
    put_picture(scratch / name, 20, 10);
  for (const char* name : {"train2017/y.png", "images/val2017/w.png"})
    put_picture(scratch / name, 8, 8);
  const DetectionData data = open_detection(scratch.path());
  CHECK(contains(describe(data),
                 "2 training, 0 validation and 2 test pictures, 2 classes, 4 boxes (2 without"));

  const std::vector<std::vector<Detection>> found{
      {{{0.1f, 0.2f, 3.7f, 9.9f}, 1, 0.3f}, {{1, 2, 3, 4}, 0, 1e-7f}}, {}};
  const std::string text = coco_results(data.test, found);
  CHECK(contains(text, R"({"image_id":7,"category_id":9,"bbox":[0.1,0.2,)"));
  const auto back = parse_coco_results(text, "r", data.test);
  REQUIRE(back.size() == 2);
  REQUIRE(back[0].size() == 2);
  CHECK(back[1].empty());
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(back[0][i].label == found[0][i].label);
    CHECK(back[0][i].score == found[0][i].score);
    CHECK(back[0][i].box == found[0][i].box);
  }
  CHECK(contains(message_of<DataError>([&] {
                   parse_coco_results(replaced(text, "\"image_id\":7", "\"image_id\":\"7b\""), "r",
                                      data.test);
                 }),
                 "r[0].image_id: no picture has the id 7b"));

  for (const auto& [file, message] :
       std::map<std::string, std::string>{{"../x.png", "leads out of the folder"},
                                          {"/x.png", "leads out"},
                                          {"z.png", "no such picture"}}) {
    CAPTURE(file);
    put(scratch / "annotations/instances_train2017.json", replaced(kInstances, "x.png", file));
    CHECK(contains(message_of<DataError>([&] { open_detection(scratch.path()); }), message));
  }
  put(scratch / "annotations/instances_train2017.json", replaced(kInstances, "dog", "cow"));
  CHECK(contains(message_of<DataError>([&] { open_detection(scratch.path()); }),
                 "expected the categories of the training split: cat, cow; got cat, dog"));
  put(scratch / "annotations/instances_train2014.json", kInstances);
  CHECK(contains(message_of<DataError>([&] { open_detection(scratch.path()); }),
                 "two files for one split"));
}

TEST_CASE("the header of a picture tells its size without its pixels") {
  const Scratch scratch;
  put_picture(scratch / "a.png", 33, 7);
  CHECK(picture_size(scratch / "a.png") == PictureSize{.height = 7, .width = 33});
  const Bytes jpeg = bytes_of(
      {0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc2, 0, 11, 8, 1, 44, 0, 20, 1, 1});
  CHECK(picture_size(write_file(scratch / "b", jpeg)) == PictureSize{.height = 300, .width = 20});
  const auto error = [&](const Bytes& bytes) {
    return message_of<DataError>([&] { picture_size(write_file(scratch / "c", bytes)); });
  };
  CHECK(contains(error(Bytes(jpeg.begin(), jpeg.begin() + 15)), "ends before it says"));
  CHECK(contains(error(bytes_of({0xff, 0xd8, 0xff, 0xda, 0, 4})), "no segment says how large"));
  CHECK(contains(error(bytes_of({0xff, 0xd8, 7})), "does not begin with a marker"));
  CHECK(
      contains(error(bytes_of({0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 0, 0, 20})), "claims 0 x 20"));
  CHECK(
      contains(message_of<DataError>([&] { picture_size(scratch / "none"); }), "no such picture"));
}

TEST_CASE("BCCD has the boxes that its page says") {
  const fs::path where = real_data("bccd-voc");
  if (where.empty()) return;
  const DetectionData data = open_detection(where.string());
  CHECK(data.train.classes == std::vector<std::string>{"Platelets", "RBC", "WBC"});
  std::vector<std::int64_t> boxes(3);
  std::int64_t dropped = 0;
  for (const DetectionSet* set : {&data.train, &data.validation, &data.test}) {
    dropped += set->dropped;
    for (const LabelledPicture& picture : set->pictures) {
      CHECK(picture.width == 640);
      CHECK(picture.height == 480);
      for (const BoxLabel& box : picture.boxes) ++boxes[static_cast<std::size_t>(box.label)];
    }
  }
  CHECK(data.train.count() == 205);
  CHECK(data.validation.count() == 87);
  CHECK(data.test.count() == 42);
  CHECK(boxes == std::vector<std::int64_t>{331, 3848 - 2, 342});  // two RBC have no area
  CHECK(dropped == 2);
}
