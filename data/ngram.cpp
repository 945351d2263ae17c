#include "data/ngram.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "core/checked.h"
#include "core/error.h"
#include "core/math.h"

namespace ebb {
namespace {

constexpr std::int64_t kNone = -1;

std::size_t at(std::int64_t node) { return static_cast<std::size_t>(node); }

}  // namespace

NgramModel::NgramModel(std::span<const std::int32_t> text, std::int64_t vocabulary, int order)
    : vocabulary_(vocabulary),
      order_(order),
      nodes_(1),
      discounts_(static_cast<std::size_t>(order > 0 ? order : 0) + 1) {
  require<ConfigError>(order >= 1 && order <= 8, "[n-gram] expected an order of 1 to 8, got ",
                       order);
  require<ConfigError>(vocabulary >= 1, "[n-gram] expected a vocabulary of 1 token and more, got ",
                       vocabulary);
  const auto longest = static_cast<std::size_t>(order);
  require<DataError>(text.size() >= longest, "[n-gram] a text of ", text.size(),
                     " tokens has no n-gram of ", order);
  require_ids(text);
  // What is looked up: a node, of which a token makes `order` at most, and the token after it.
  static_cast<void>(
      checked_mul(std::ssize(text) * order + 1, vocabulary, "[n-gram] tokens after an n-gram"));

  struct Place {
    std::int64_t parent, suffix;  ///< the n-gram without its last token, and without its first
    std::size_t length;
  };
  std::vector<Place> places{{kNone, kNone, 0}};
  std::vector<std::int64_t> path,
      before;  // n-grams that begin here and one token earlier, by length
  for (std::size_t first = 0; first < text.size(); ++first) {
    std::swap(path, before);
    path.assign(1, 0);
    for (std::size_t n = 1; n <= longest && first + n <= text.size(); ++n) {
      const auto next = static_cast<std::int64_t>(nodes_.size());
      const auto [found, added] =
          children_.try_emplace(path.back() * vocabulary + text[first + n - 1], next);
      if (added) {
        nodes_.emplace_back();
        places.push_back({path.back(), kNone, n});
      }
      path.push_back(found->second);
    }
    if (path.size() > longest) ++nodes_[at(path[longest])].count;
    for (std::size_t n = 1; n < before.size(); ++n) places[at(before[n])].suffix = path[n - 1];
  }
  for (const Place& place :
       places) {  // the longest n-grams have counts of their own and are nobody's suffix
    if (place.length >= 2) ++nodes_[at(place.suffix)].count;
  }

  std::vector<std::int64_t> once(longest + 1), twice(longest + 1);
  for (std::size_t i = 1; i < nodes_.size(); ++i) {
    const std::int64_t count = nodes_[i].count;
    if (count == 0) continue;
    nodes_[at(places[i].parent)].followed += count;
    ++nodes_[at(places[i].parent)].kinds;
    once[places[i].length] += count == 1 ? 1 : 0;
    twice[places[i].length] += count == 2 ? 1 : 0;
  }
  for (std::size_t n = 1; n <= longest; ++n) {
    discounts_[n] = once[n] > 0
                        ? static_cast<double>(once[n]) / static_cast<double>(once[n] + 2 * twice[n])
                        : 0.5;
  }
}

std::int64_t NgramModel::child(std::int64_t node, std::int32_t token) const {
  const auto found = children_.find(node * vocabulary_ + token);
  return found == children_.end() ? kNone : found->second;
}

void NgramModel::require_ids(std::span<const std::int32_t> text) const {
  for (const std::int32_t id : text) {
    require<DataError>(id >= 0 && id < vocabulary_, "[n-gram] expected token ids of 0 to ",
                       vocabulary_ - 1, ", got ", id);
  }
}

double NgramModel::probability(std::span<const std::int32_t> context, std::int32_t token) const {
  require_ids(context);
  require_ids({&token, 1});
  double p = 1 / static_cast<double>(vocabulary_);
  for (std::size_t n = 0; n < at(order_) && n <= context.size(); ++n) {
    std::int64_t node = 0;
    for (const std::int32_t id : context.last(n)) {
      if (node != kNone) node = child(node, id);
    }
    if (node == kNone || nodes_[at(node)].kinds == 0) break;
    const std::int64_t next = child(node, token);
    const double count = next == kNone ? 0 : static_cast<double>(nodes_[at(next)].count),
                 discount = discounts_[n + 1];
    p = (std::max(count - discount, 0.0) +
         discount * static_cast<double>(nodes_[at(node)].kinds) * p) /
        static_cast<double>(nodes_[at(node)].followed);
  }
  return p;
}

double NgramModel::loss(std::span<const std::int32_t> text) const {
  require<DataError>(text.size() >= 2, "[n-gram] a text of ", text.size(),
                     " tokens has none to predict");
  double sum = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const std::size_t context = std::min(i, at(order_) - 1);
    sum -= math::log(probability(text.subspan(i - context, context), text[i]));
  }
  return sum / static_cast<double>(text.size() - 1);
}

}  // namespace ebb
