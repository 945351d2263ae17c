#include "models/image_family.h"

#include <memory>
#include <utility>

#include "models/classifier.h"
#include "models/recipes.h"
#include "train/tasks/certified.h"
#include "train/tasks/images.h"

namespace ebb::cli {

ModelFamily image_family(train::Program program) {
  program.options = train::image_options();
  for (train::OptionSpec& option : train::certified_options())
    program.options.push_back(std::move(option));
  for (train::Preset& recipe : image_recipes()) program.presets.push_back(std::move(recipe));
  const auto build = [](const train::Options& options, ParamStore& params) {
    const auto data = std::make_shared<const train::ImageData>(train::open_images(options));
    const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("initial values");
    const Classifier network = make_classifier(options.text("arch"), data->set.train.shape,
                                               data->set.train.classes, params, key);
    if (!options.flag("certify")) return train::image_task(data, network.forward, options);
    train::init_certified(params, network.layers, options, key);
    return train::certified_task(data, network.layers, options);
  };
  return {std::move(program), build};
}

}  // namespace ebb::cli
