#include <ebb/data/file.h>
#include <ebb/ebb.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace ebb;

/// Reads square grey images from lines "LABEL,PIXEL,PIXEL,...", each pixel 0 to 255, perhaps
/// packed.
/// @throws DataError naming the file and line of what is something else
ImageSet read_csv(const std::string& path, std::int64_t side, int classes) {
  const std::vector<std::byte> bytes = read_data_file(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  ImageSet set;
  set.name = path;
  set.shape = {side, side, 1};
  set.classes = classes;
  std::vector<std::uint8_t> pixels;
  std::int64_t number = 0;
  for (const std::string& line : split_at(text, '\n')) {
    ++number;
    if (line.empty()) continue;  // behind the last line feed
    const std::vector<std::string> fields = split_at(line, ',');
    require<DataError>(std::ssize(fields) == 1 + side * side, "[csv] ", path, ":", number,
                       ": expected a label and ", side * side, " pixels, got ", fields.size(),
                       " fields");
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const std::int64_t most = i == 0 ? classes - 1 : 255;
      std::int64_t value = 0;
      require<DataError>(parse_number(fields[i], value) && value >= 0 && value <= most, "[csv] ",
                         path, ":", number, ": expected ", i == 0 ? "a label" : "a pixel",
                         " of 0 to ", most, ", got '", fields[i], "'");
      if (i == 0) {
        set.labels.push_back(static_cast<std::int32_t>(value));
      } else {
        pixels.push_back(static_cast<std::uint8_t>(value));
      }
    }
  }
  set.pixels = std::move(pixels);
  require_consistent(set);
  return set;
}

/// Class c is bright in row c.
void write_csv(const std::string& path, std::int64_t images, Key key) {
  std::ofstream out(path);
  for (std::int64_t i = 0; i < images; ++i) {
    out << i % 4;
    for (std::int64_t pixel = 0; pixel < 16; ++pixel) {
      const auto noise = key.below(static_cast<std::uint64_t>(16 * i + pixel), 128);
      out << ',' << noise + (pixel / 4 == i % 4 ? 100 : 0);
    }
    out << '\n';
  }
}

std::int64_t count_right(const Linear& layer, ParamStore& params, const ImageSet& set) {
  CostLedger ledger;
  Pass pass{.params = params,
            .plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8)),
            .ledger = ledger,
            .key = Key(0),
            .mode = Pass::Mode::evaluate};
  const Batch batch = batch_in_file_order(set, 0, set.count());
  const Var logits = layer(pass, flatten(pass, pass.tape.constant(batch.inputs)));
  return count_correct(pass.tape[logits], batch.labels);
}

}  // namespace

int main(int, char** argv) {
  start_tuned(argv);
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "ebb_own_reader";
  std::filesystem::create_directories(folder);
  const std::string train_file = folder / "train.csv", test_file = folder / "test.csv",
                    bad_file = folder / "bad.csv";
  write_csv(train_file, 400, Key(1));
  write_csv(test_file, 100, Key(2));
  std::ofstream(bad_file) << "1,2,3\n";

  DataSet data;
  data.train = read_csv(train_file, 4, 4);
  data.test = read_csv(test_file, 4, 4);
  data.train.normalization = data.test.normalization = measure_normalization(data.train);

  ParamStore params;
  const Linear layer = Linear::create(params, "rows", he_init({4, 16}, Key(3)), Tensor::zeros({4}));
  Optimizer optimizer = make_optimizer("sgd", {});
  CostLedger ledger;
  const BatchSource batches(data.train, {.batch = 40, .augmentation = Augmentation::none()},
                            Key(4));
  for (std::int64_t t = 0; t < 50; ++t) {
    Pass pass{.params = params,
              .plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8)),
              .ledger = ledger,
              .key = Key(5).fold(static_cast<std::uint64_t>(t))};
    const Batch batch = batches.batch(t);
    const Var logits = layer(pass, flatten(pass, pass.tape.constant(batch.inputs)));
    optimizer.step(params, pass.tape.backward(softmax_cross_entropy(pass, logits, batch.labels)),
                   0.05);
  }

  std::string message;
  try {
    static_cast<void>(read_csv(bad_file, 4, 4));
  } catch (const DataError& error) {
    message = error.what();
  }
  std::filesystem::remove_all(folder);
  const std::int64_t right = count_right(layer, params, data.test);
  std::printf("%lld of 100 right; a damaged file: %s\n", static_cast<long long>(right),
              message.c_str());
  return right >= 95 && message.ends_with("bad.csv:1: expected a label and 16 pixels, got 3 fields")
             ? 0
             : 1;
}
