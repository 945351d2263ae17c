#include <ebb/ebb.h>
#include <ebb/train/app/run_main.h>
#include <ebb/train/tasks/images.h>

#include <memory>
#include <utility>
#include <vector>

namespace {

using namespace ebb;

/// A stem, `blocks` residual blocks x + W relu(x), and a head.
train::ImageNetwork make_network(std::int64_t blocks, std::int64_t width, std::int64_t pixels,
                                 int classes, ParamStore& params, Key key) {
  const auto linear = [&](Site site, std::int64_t out, std::int64_t in) {
    Tensor weight = he_init({out, in}, key.fold(site.name));
    return Linear::create(params, std::move(site), std::move(weight), Tensor::zeros({out}));
  };
  const Linear stem = linear({"stem", {"first"}}, width, pixels);
  std::vector<Linear> hidden;
  for (std::int64_t i = 1; i <= blocks; ++i)
    hidden.push_back(linear({concat("block", i), {}}, width, width));
  const Linear head = linear({"head", {"last"}}, classes, width);
  return [=](Pass& pass, Var images) {
    Var x = stem(pass, flatten(pass, images));
    for (const Linear& block : hidden) x = add(pass, x, block(pass, relu(pass, x)));
    return head(pass, relu(pass, x));
  };
}

train::Program program() {
  train::Program program{
      .name = "own_family",
      .summary = "Trains residual fully connected networks on images.",
      .archs = {{.name = "small", .summary = "2 blocks", .lr = 0.02, .lr_schedule = "1->0 : cos"},
                {.name = "deep",
                 .summary = "8 blocks, with Adam",
                 .lr = 0.001,
                 .lr_schedule = "1->0 : cos",
                 .optimizer = "adam",
                 .options = {{"blocks", "8"}}}},
      .options = train::image_options()};
  program.options.push_back(train::OptionSpec::count("blocks", "2", "residual blocks"));
  program.options.push_back(train::OptionSpec::count("width", "64", "units of a block"));
  return program;
}

train::Task build(const train::Options& options, ParamStore& params) {
  const auto data = std::make_shared<const train::ImageData>(train::open_images(options));
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("initial values");
  const ImageSet& images = data->set.train;
  return train::image_task(data,
                           make_network(options.integer("blocks"), options.integer("width"),
                                        images.shape.size(), images.classes, params, key),
                           options);
}

}  // namespace

int main(int argc, char** argv) { return cli::run_main(argc, argv, {program(), build}); }
