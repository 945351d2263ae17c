// replay_vectors FOLDER...: does the products of `ebb dump` again, from their definition. A second
// implementation to start from: nothing of Ebb is used, only the standard library. Exit code 1 if
// a bit differs. docs/HARDWARE.md says what the arrays are. Compile without contraction of
// a * b + c (-ffp-contract=off).
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The value of a member of a flat JSON object, without quotes.
std::string member(const std::string& json, const std::string& name) {
  const std::size_t at = json.find("\"" + name + "\":");
  if (at == std::string::npos) throw std::runtime_error("the manifest has no " + name);
  std::size_t begin = json.find_first_not_of(' ', at + name.size() + 3);
  const bool quoted = json[begin] == '"';
  begin += quoted ? 1 : 0;
  return json.substr(begin, json.find_first_of(quoted ? "\"" : ",\n}", begin) - begin);
}

/// The elements of a .npy file of this element type, on a little-endian machine.
template <class T>
std::vector<T> read_npy(const std::string& path, const char* dtype) {
  const std::string bytes = read_file(path);
  if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0)
    throw std::runtime_error(path + " is no .npy file");
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const std::size_t header = byte(8) + 256u * byte(9), data = 10 + header;
  if (bytes.size() < data || bytes.substr(10, header).find(dtype) == std::string::npos ||
      (bytes.size() - data) % sizeof(T) != 0)
    throw std::runtime_error(path + " is no array of " + dtype);
  std::vector<T> values((bytes.size() - data) / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data() + data, values.size() * sizeof(T));
  return values;
}

struct Side {
  std::vector<std::int16_t> codes;
  std::vector<float> scales;
  std::vector<double> zeros;
  double scale(std::size_t i) const { return scales[scales.size() == 1 ? 0 : i]; }
  double zero(std::size_t i) const { return zeros[zeros.size() == 1 ? 0 : i]; }
};

Side read_side(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  return {read_npy<std::int16_t>(path + ".npy", "<i2"),
          read_npy<float>(path + "_scales.npy", "<f4"),
          read_npy<double>(path + "_zeros.npy", "<f8")};
}

/// S in its register: exact, or W bits that wrap around or saturate.
class Accumulator {
 public:
  explicit Accumulator(const std::string& text) {
    wraps_ = text.compare(0, 4, "wrap") == 0;
    saturates_ = text.compare(0, 3, "sat") == 0;
    if (wraps_ || saturates_) bits_ = std::stoi(text.substr(wraps_ ? 4 : 3));
  }
  void add(std::int64_t& sum, std::int64_t product) {
    sum = saturates_ ? hold(sum + hold(product)) : sum + product;
  }
  void finish(std::int64_t& sum) {
    if (!wraps_) return;
    const std::int64_t turn = std::int64_t{1} << bits_;
    std::int64_t kept = ((sum % turn) + turn) % turn;
    if (kept >= turn / 2) kept -= turn;
    events_ += std::abs(sum - kept) / turn;
    sum = kept;
  }
  std::int64_t events() const { return events_; }

 private:
  std::int64_t hold(std::int64_t value) {
    const std::int64_t high = (std::int64_t{1} << (bits_ - 1)) - 1, low = -high - 1;
    const std::int64_t held = value > high ? high : value < low ? low : value;
    events_ += held != value ? 1 : 0;
    return held;
  }
  bool wraps_ = false, saturates_ = false;
  int bits_ = 64;
  std::int64_t events_ = 0;
};

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

/// What differs, or nothing.
std::string replay(const std::string& folder) {
  const std::string manifest = read_file(folder + "/manifest.json");
  const auto extent = [&](const char* name) {
    return static_cast<std::size_t>(std::stoull(member(manifest, name)));
  };
  const std::size_t m = extent("m"), k = extent("k"), n = extent("n");
  const Side a = read_side(folder, "left"), b = read_side(folder, "right");
  const auto expected = read_npy<std::int64_t>(folder + "/accumulators.npy", "<i8");
  const auto outputs = read_npy<float>(folder + "/outputs.npy", "<f4");
  std::vector<std::uint8_t> valid(m * k, 1);
  std::vector<float> factors;
  if (member(manifest, "padded") == "true")
    valid = read_npy<std::uint8_t>(folder + "/left_valid.npy", "|u1");
  if (member(manifest, "factors") == "true")
    factors = read_npy<float>(folder + "/factors.npy", "<f4");
  const auto fits = [](std::size_t count, std::size_t lines) {
    return count == 1 || count == lines;
  };
  if (a.codes.size() != m * k || valid.size() != m * k || b.codes.size() != k * n ||
      expected.size() != m * n || outputs.size() != m * n || !fits(a.scales.size(), m) ||
      !fits(b.scales.size(), n) || a.zeros.size() != a.scales.size() ||
      b.zeros.size() != b.scales.size() || (!factors.empty() && factors.size() != m))
    return "arrays do not have the shapes of the manifest";

  Accumulator accumulator(member(manifest, "accumulator"));
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      std::int64_t S = 0, A = 0, B = 0, V = 0;
      for (std::size_t t = 0; t < k; ++t) {
        if (valid[i * k + t] == 0) continue;  // a padded tap is the real number 0: no code
        const std::int64_t x = a.codes[i * k + t], y = b.codes[t * n + j];
        accumulator.add(S, x * y);
        A += x;
        B += y;
        ++V;
      }
      accumulator.finish(S);
      const double sa = a.scale(i), za = a.zero(i), sb = b.scale(j), zb = b.zero(j);
      const double products =
          (sa * sb) * static_cast<double>(S) + (sa * zb) * static_cast<double>(A);
      const double offsets =
          (za * sb) * static_cast<double>(B) + (za * zb) * static_cast<double>(V);
      double value = products + offsets;
      if (!factors.empty()) value = static_cast<double>(factors[i]) * value;
      const std::string place = " at row " + std::to_string(i) + ", column " + std::to_string(j);
      if (S != expected[i * n + j]) return "the accumulator differs" + place;
      if (!same_bits(static_cast<float>(value), outputs[i * n + j]))
        return "the output differs" + place;
    }
  }
  const std::int64_t events = std::stoll(member(manifest, "overflow_events"));
  return accumulator.events() == events ? "" : "the number of overflow events differs";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "replay_vectors FOLDER...\n";
    return 2;
  }
  bool failed = false;
  for (int i = 1; i < argc; ++i) {
    std::string difference;
    try {
      difference = replay(argv[i]);
    } catch (const std::exception& error) {
      difference = error.what();
    }
    failed = failed || !difference.empty();
    std::cout << argv[i] << ": " << (difference.empty() ? "the same, bit for bit" : difference)
              << '\n';
  }
  return failed ? 1 : 0;
}
