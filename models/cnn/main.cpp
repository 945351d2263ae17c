#include <string>

#include "models/classifier.h"
#include "models/cli/image_family.h"

int main(int argc, char** argv) {
  using ebb::train::Arch;
  ebb::train::Program program{"ebb-cnn", "Trains convolutional networks on images in emulated low precision.", {}};
  program.archs.push_back({.name = "lenet5",
                           .summary = "LeNet-5 with ReLU and max pooling",
                           .lr = 0.003,
                           .lr_schedule = "1->0 : cos",
                           .optimizer = "adamw",
                           .weight_decay = 0.01,
                           .epochs = 3});
  for (const std::string& name : ebb::known_architectures()) {
    if (!name.starts_with("resnet")) continue;
    program.archs.push_back({.name = name,
                             .summary = "residual network for CIFAR",
                             .lr = 0.1,
                             .lr_schedule = "step(50%, 75%, 0.1)",
                             .weight_decay = 1e-4,
                             .epochs = 10});
  }
  return ebb::cli::run_main(argc, argv, ebb::cli::image_family(std::move(program)));
}
