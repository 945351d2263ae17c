#include "optim/kernels/low_precision.h"

#include "quant/formats/kernels/expansion.h"
#include "quant/formats/kernels/round_floats.h"

namespace ebb::kernels {
namespace {

using Float = Full::Float;

inline Float square_root(const Float& x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Float>(_mm512_sqrt_ps(x));
#elif defined(__AVX2__)
  return reinterpret_cast<Float>(_mm256_sqrt_ps(x));
#elif defined(__SSE2__)
  return reinterpret_cast<Float>(_mm_sqrt_ps(x));
#else
  Float y{};
  for (std::size_t lane = 0; lane < kLanes; ++lane) y[lane] = __builtin_sqrtf(x[lane]);
  return y;
#endif
}

enum class Role : std::uint8_t {
  gradient,
  moment,
  residual,
  weight,
  update,
  master,
  between_weights,
  between_moments
};

/// Roundings by role, of all formats.
template <Strategy>
struct Any {
  const LowPrecisionStep& c;

  template <Role kRole>
  [[nodiscard]] Float round(const Float& x) const {
    return round_to_format(kRole == Role::gradient          ? c.gradient
                           : kRole == Role::moment          ? c.moment
                           : kRole == Role::residual        ? c.residual
                           : kRole == Role::weight          ? c.weight
                           : kRole == Role::update          ? c.update
                           : kRole == Role::master          ? c.master
                           : kRole == Role::between_weights ? c.between_weights
                                                            : c.between_moments,
                           x);
  }
  [[nodiscard]] bool strict() const { return c.strict; }
};

/// All are bf16, but moments and updates of strategies with more bits.
template <Strategy kStrategy>
struct Bf16 {
  static constexpr bool kWide = kStrategy >= Strategy::wide_state;
  const LowPrecisionStep& c;

  template <Role kRole>
  [[nodiscard]] Float round(const Float& x) const {
    constexpr bool wide =
        kWide && (kRole == Role::moment || kRole == Role::update || kRole == Role::master);
    if constexpr (wide) return x;
    return round_to_bf16(x);
  }
  [[nodiscard]] static constexpr bool strict() { return false; }
};

/// The arithmetic of expansions of these roles, see expansion.h.
template <class Roles, Role kHigh, Role kMiddle>
struct Expansions {
  using Number = Float;
  const Roles& roles;

  template <int C>
  [[nodiscard]] Float round(const Float& x) const {
    return roles.template round<(C < 0 ? kMiddle : C == 0 ? kHigh : Role::residual)>(x);
  }
  template <int C>
  [[nodiscard]] Float sum(const Float& a, const Float& b) const {
    return round<C>(a + b);
  }
  template <int C>
  [[nodiscard]] Float difference(const Float& a, const Float& b) const {
    return round<C>(a - b);
  }
  template <int C>
  [[nodiscard]] Float product(const Float& a, const Float& b) const {
    return round<C>(a * b);
  }
  template <int C>
  [[nodiscard]] Float residual(const Float& a, const Float& b, const Float& x) const {
    return round<C>(a * b - x) + Float{};
  }
};
template <class Roles>
using OfWeights = Expansions<Roles, Role::weight, Role::between_weights>;
template <class Roles>
using OfMoments = Expansions<Roles, Role::moment, Role::between_moments>;

/// Where the numbers of a group of elements are.
struct Place {
  std::int64_t at, left;
  [[nodiscard]] Float read(const float* from) const { return load_first(from + at, left); }
  void write(float* to, const Float& x) const { store_first(to + at, x, left); }
};

/// Gathers infinities and NaNs.
struct Watch {
  Full::Int seen{};
  void see(const Float& x) { seen |= (x - x) != Float{}; }
  [[nodiscard]] bool finite() const {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (seen[lane] != 0) return false;
    }
    return true;
  }
};

/// Adds an update to the weights as the strategy does; `own` are its slots.
template <Strategy kStrategy, class Roles>
inline void apply(const Roles& roles, const Place& place, const Float& update, float* w,
                  float* const* own, Watch& watch) {
  const Float theta = place.read(w);
  Float moved{};
  if constexpr (kStrategy == Strategy::low) {
    moved = roles.template round<Role::weight>(theta + update);
  } else if constexpr (kStrategy == Strategy::wide_state) {
    moved = roles.template round<Role::weight>(theta + roles.template round<Role::weight>(update));
  } else if constexpr (kStrategy == Strategy::stochastic) {
    moved = theta + update;
  } else if constexpr (kStrategy == Strategy::kahan) {
    const Float owed = roles.template round<Role::residual>(place.read(own[0]) + update);
    moved = roles.template round<Role::weight>(theta + owed);
    const Float lost = roles.template round<Role::residual>(theta - moved);
    place.write(own[0], roles.template round<Role::residual>(owed + lost));
  } else if constexpr (kStrategy == Strategy::master) {
    const Float add = roles.c.round_update ? roles.template round<Role::weight>(update) : update;
    const Float master = roles.template round<Role::master>(place.read(own[0]) + add);
    place.write(own[0], master);
    watch.see(master);
    moved = roles.template round<Role::weight>(master);
  } else {
    Float x[2] = {theta, place.read(own[0])};
    grow<false>(OfWeights<Roles>{roles}, x, update);
    moved = x[0];
    place.write(own[0], x[1]);
  }
  watch.see(moved);
  place.write(w, moved);
}

/// Rounds what is no state: in strict arithmetic only.
template <class Roles>
inline Float step_of(const Roles& roles, const Float& x) {
  return roles.strict() ? roles.template round<Role::moment>(x) : x;
}

/// The moment of two components, `high` and what `low` holds: decayed by the decay's own two, plus
/// what is added. @returns its high component
template <class Roles>
inline Float decayed_expansion(const Roles& roles, const LowPrecisionStep& c, const Place& place,
                               const Float& high, float* low, const Float& added) {
  Float x[2] = {high, place.read(low)};
  const Float decay[2] = {Float{} + c.decay2, Float{} + c.decay2_low};
  mul(OfMoments<Roles>{roles}, x, decay);
  grow<true>(OfMoments<Roles>{roles}, x, roles.template round<Role::moment>(added));
  place.write(low, x[1]);
  return x[0];
}

template <Strategy kStrategy, template <Strategy> class RolesOf>
bool adamw(const LowPrecisionStep& step, std::int64_t n, const float* g, float* w,
           float* const* slots, float* intended) {
  const LowPrecisionStep c = step;  // a copy that no written float can alias
  const RolesOf<kStrategy> roles{c};
  Watch watch;
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const Place place{i, n - i};
    const Float given = place.read(g), grad = roles.template round<Role::gradient>(given);
    watch.see(given);
    Float m = place.read(slots[0]), v = place.read(slots[1]);

    m = roles.template round<Role::moment>(m + step_of(roles, c.gain * step_of(roles, grad - m)));
    place.write(slots[0], m);

    const Float square = step_of(roles, c.gain2 * grad) * grad;
    if constexpr (kStrategy == Strategy::collage_plus) {
      v = decayed_expansion(roles, c, place, v, slots[3], square);
    } else {
      v = roles.template round<Role::moment>(v * c.decay2);
      v = roles.template round<Role::moment>(v + step_of(roles, square));
    }
    place.write(slots[1], v);
    watch.see(v);

    const Float root = roles.template round<Role::moment>(square_root(v));
    const Float below =
        roles.template round<Role::moment>(step_of(roles, root / c.root_correction) + c.epsilon);
    const Float theta = place.read(kStrategy == Strategy::master ? slots[2] : w);
    const Float move = step_of(roles, c.rate * step_of(roles, m / below)),
                shrink = step_of(roles, c.weight_decay * theta);
    const Float update = roles.template round<Role::update>(-(move + shrink));
    if (intended != nullptr) place.write(intended, update);
    apply<kStrategy>(roles, place, update, w, slots + 2, watch);
  }
  return watch.finite();
}

template <Strategy kStrategy, template <Strategy> class RolesOf>
bool sgd(const LowPrecisionStep& step, std::int64_t n, const float* g, float* w,
         float* const* slots, float* intended) {
  const LowPrecisionStep c = step;
  const RolesOf<kStrategy> roles{c};
  Watch watch;
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const Place place{i, n - i};
    const Float given = place.read(g), grad = roles.template round<Role::gradient>(given);
    watch.see(given);
    const Float theta = place.read(kStrategy == Strategy::master ? slots[1] : w);
    const Float d = step_of(roles, grad + step_of(roles, c.weight_decay * theta));
    Float v = place.read(slots[0]);
    if constexpr (kStrategy == Strategy::collage_plus) {
      v = decayed_expansion(roles, c, place, v, slots[2], d);
    } else {
      v = roles.template round<Role::moment>(step_of(roles, c.decay * v) + d);
    }
    place.write(slots[0], v);
    watch.see(v);
    const Float update = roles.template round<Role::update>(-(c.rate * v));
    if (intended != nullptr) place.write(intended, update);
    apply<kStrategy>(roles, place, update, w, slots + 1, watch);
  }
  return watch.finite();
}

using enum Strategy;

constexpr LowPrecisionKernels kLowPrecision{
    {{adamw<low, Any>, adamw<stochastic, Any>, adamw<kahan, Any>, adamw<collage_light, Any>,
      adamw<collage_plus, Any>, adamw<wide_state, Any>, adamw<master, Any>},
     {adamw<low, Bf16>, adamw<stochastic, Bf16>, adamw<kahan, Bf16>, adamw<collage_light, Bf16>,
      adamw<collage_plus, Bf16>, adamw<wide_state, Bf16>, adamw<master, Bf16>}},
    {{sgd<low, Any>, sgd<stochastic, Any>, sgd<kahan, Any>, sgd<collage_light, Any>,
      sgd<collage_plus, Any>, sgd<wide_state, Any>, sgd<master, Any>},
     {sgd<low, Bf16>, sgd<stochastic, Bf16>, sgd<kahan, Bf16>, sgd<collage_light, Bf16>,
      sgd<collage_plus, Bf16>, sgd<wide_state, Bf16>, sgd<master, Bf16>}}};

}  // namespace

constinit const LowPrecisionKernels LowPrecisionKernels::EBB_TARGET = kLowPrecision;

}  // namespace ebb::kernels
