#include <array>
#include <span>
#include <string_view>

#include "core/text.h"
#include "data/text.h"

namespace ebb {
namespace {

// A word with its two forms: one and many of a noun, "he ..." and "they ..." of a verb.
struct Forms {
  std::string_view one, many;
};

constexpr std::array<Forms, 16> kNouns{{{"child", "children"},
                                        {"farmer", "farmers"},
                                        {"river", "rivers"},
                                        {"stone", "stones"},
                                        {"horse", "horses"},
                                        {"sailor", "sailors"},
                                        {"cloud", "clouds"},
                                        {"fox", "foxes"},
                                        {"woman", "women"},
                                        {"lamp", "lamps"},
                                        {"garden", "gardens"},
                                        {"letter", "letters"},
                                        {"baker", "bakers"},
                                        {"bridge", "bridges"},
                                        {"bird", "birds"},
                                        {"mountain", "mountains"}}};
constexpr std::array<std::string_view, 12> kAdjectives{"old",    "small", "quiet",   "bright",
                                                       "green",  "heavy", "young",   "tired",
                                                       "golden", "cold",  "distant", "strange"};
constexpr std::array<Forms, 10> kPresent{{{"sees", "see"},
                                          {"follows", "follow"},
                                          {"finds", "find"},
                                          {"carries", "carry"},
                                          {"loves", "love"},
                                          {"fears", "fear"},
                                          {"remembers", "remember"},
                                          {"paints", "paint"},
                                          {"guards", "guard"},
                                          {"knows", "know"}}};
constexpr std::array<std::string_view, 10> kPast{"saw",     "followed", "found",      "carried",
                                                 "loved",   "feared",   "remembered", "painted",
                                                 "guarded", "knew"};
constexpr std::array<std::string_view, 6> kPlaces{"near",  "behind", "above",
                                                  "under", "beside", "beyond"};
constexpr std::array<std::string_view, 4> kPastTimes{"yesterday", "long ago", "last winter",
                                                     "in those days"};
constexpr std::array<std::string_view, 4> kPresentTimes{"today", "every morning", "in summer",
                                                        "now and then"};
constexpr std::array<std::string_view, 4> kNumbers{"two", "three", "seven", "many"};

class Writer {
 public:
  explicit Writer(Key key) : key_(key) {}

  std::string sentence() {
    // One draw a statement: the order in which arguments are evaluated is the compiler's.
    const bool past = chance(2);
    std::string text;
    if (chance(3)) text = concat(pick(past ? kPastTimes : kPresentTimes), ", ");
    bool many = chance(2);
    text += noun_phrase(many, true);
    text += concat(' ', verb(past, many), ' ');
    const bool many_objects = chance(2);
    text += noun_phrase(many_objects, false);
    if (chance(4)) {
      many = chance(2);
      text += concat(", and ", noun_phrase(many, false));
      text += concat(' ', verb(past, many), many ? " them" : " it");
    }
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
    return text + ".\n";
  }

 private:
  std::size_t draw(std::size_t n) { return static_cast<std::size_t>(key_.below(counter_++, n)); }
  bool chance(std::size_t one_in) { return draw(one_in) == 0; }
  template <class T, std::size_t kSize>
  const T& pick(const std::array<T, kSize>& words) {
    return words[draw(kSize)];
  }

  std::string noun_phrase(bool many, bool may_say_where) {
    std::string text(many ? (chance(2) ? "the" : pick(kNumbers)) : "the");
    if (chance(2)) text += concat(' ', pick(kAdjectives));
    const Forms& noun = pick(kNouns);
    text += concat(' ', many ? noun.many : noun.one);
    if (may_say_where && chance(4)) {
      text += concat(' ', pick(kPlaces), ' ');
      const bool several = chance(2);
      text += noun_phrase(several, false);
    }
    return text;
  }
  std::string_view verb(bool past, bool many) {
    const std::size_t which = draw(kPast.size());
    return past ? kPast[which] : many ? kPresent[which].many : kPresent[which].one;
  }

  Key key_;
  std::uint64_t counter_ = 0;
};

}  // namespace

std::string embedded_text(std::int64_t size, Key key) {
  Writer writer(key);
  std::string text;
  while (static_cast<std::int64_t>(text.size()) < size) text += writer.sentence();
  return text;
}

}  // namespace ebb
