#include "data/boxes.h"

#include <algorithm>

namespace ebb {
namespace {

double area(double width, double height) { return std::max(width, 0.0) * std::max(height, 0.0); }

}  // namespace

double intersection_over_union(const Box& a, const Box& b) {
  const double shared = area(double{std::min(a.right, b.right)} - std::max(a.left, b.left),
                             double{std::min(a.bottom, b.bottom)} - std::max(a.top, b.top));
  const double all = area(double{a.right} - a.left, double{a.bottom} - a.top) +
                     area(double{b.right} - b.left, double{b.bottom} - b.top) - shared;
  return all > 0 ? shared / all : 0;
}

}  // namespace ebb
