#include <string>
#include <utility>
#include <vector>

#include "models/classifier.h"
#include "models/cnn/resnet.h"
#include "models/image_family.h"

namespace {

using ebb::KeyValues;
using ebb::train::Arch;
using ebb::train::Preset;

std::vector<Arch> archs() {
  std::vector<Arch> list{{.name = "lenet5",
                          .summary = "LeNet-5 with ReLU and max pooling",
                          .lr = 0.003,
                          .lr_schedule = "1->0 : cos",
                          .optimizer = "adamw",
                          .weight_decay = 0.01,
                          .epochs = 3}};
  const auto like_lenet = [&](const char* name, const char* summary) {
    Arch arch = list.front();
    arch.name = name;
    arch.summary = summary;
    list.push_back(std::move(arch));
  };
  like_lenet("lenet5-bn", "LeNet-5 with batch norm");
  like_lenet("cnn-small", "two convolutions and two linear layers with batch norm");
  like_lenet("cnn7", "five convolutions and two linear layers with batch norm");
  const std::string steps = "step(50%, 75%, 0.1)";
  for (const int depth : ebb::kResNetDepths) {
    list.push_back({.name = ebb::concat("resnet", depth),
                    .summary = "residual network for CIFAR",
                    .lr = 0.1,
                    .lr_schedule = steps});
  }
  list.push_back({.name = "mobilenetv2",
                  .summary = "MobileNetV2 for CIFAR, depthwise convolutions",
                  .lr = 0.03,
                  .lr_schedule = steps});
  for (const int depth : ebb::kImageNetDepths) {
    list.push_back({.name = ebb::concat("resnet", depth),
                    .summary = "residual network for 224 x 224 images",
                    .lr = 0.1,
                    .lr_schedule = "step(100/3%, 200/3%, 0.1)"});
  }
  return list;
}

std::vector<Preset> presets() {
  const KeyValues all{{"optimizer", "sgd"}, {"momentum", "0.9"},    {"weight-decay", "1e-4"},
                      {"max-bits", "8"},    {"gradient-bits", "8"}, {"cycles", "8"}};
  const auto with = [&](KeyValues options) {
    options.insert(options.end(), all.begin(), all.end());
    return options;
  };
  const KeyValues cifar{{"iterations", "64000"},  {"batch", "128"},
                        {"eval-every", "390"},    {"lr-schedule", "step(50%, 75%, 0.1)"},
                        {"augment", "crop-flip"}, {"keep-fp32", "last"}};
  const auto on_cifar = [&](KeyValues options) {
    options.insert(options.end(), cifar.begin(), cifar.end());
    return with(std::move(options));
  };
  const std::vector<std::string> warnings{
      "max-bits and gradient-bits were 8 or 6; the scripts pair 3-6 bits with 8-bit gradients, the "
      "cost calculator 4-6 with 6",
      "cycles were 8 in the schedule suite and 32 in the first paper",
      "evaluations run at --max-bits; the reference evaluates at the bits of the moment and "
      "reports the best accuracy of a run"};
  const std::string where = "give --data the folder of CIFAR-10 or CIFAR-100";
  std::vector<Preset> list{
      {.name = "cpt-cifar",
       .summary = ebb::concat("ResNet-74; --arch names another depth; ", where),
       .options = on_cifar({{"arch", "resnet74"}, {"lr", "0.1"}, {"min-bits", "3"}}),
       .warnings = warnings},
      {.name = "cpt-cifar-mobilenet",
       .summary = ebb::concat("MobileNetV2; ", where),
       .options = on_cifar({{"arch", "mobilenetv2"}, {"lr", "0.03"}, {"min-bits", "4"}}),
       .warnings = warnings},
      {.name = "cpt-imagenet",
       .summary = "ResNet-18 on ImageNet; --arch resnet34 or resnet50; give --data the folder with "
                  "train/CLASS and val/CLASS",
       .options = with({{"arch", "resnet18"},
                        {"epochs", "90"},
                        {"batch", "256"},
                        {"lr", "0.1"},
                        {"lr-schedule", "step(100/3%, 200/3%, 0.1)"},
                        {"min-bits", "4"},
                        {"period", "floor"},
                        {"keep-fp32", "first,last,shortcut"}}),
       .warnings = warnings}};
  const KeyValues certified{{"certify", "true"}, {"schedule", "fp32"}, {"optimizer", "adam"},
                            {"lr", "5e-4"},      {"clip", "10"},       {"weight-decay", "0"}};
  const auto certify = [&](KeyValues options) {
    options.insert(options.end(), certified.begin(), certified.end());
    return options;
  };
  list.push_back({.name = "certify-mnist",
                  .summary =
                      "certified training of LeNet-5 with batch norm at 0.1; give --data the "
                      "folder of MNIST",
                  .options = certify({{"arch", "lenet5-bn"},
                                      {"epochs", "70"},
                                      {"batch", "256"},
                                      {"lr-schedule", "step(500/7%, 600/7%, 0.2)"},
                                      {"certify-epsilon", "0->0.1 : smooth @20ep ; 0.1 @rest"}}),
                  .warnings = {"the paper trained CNN-7 on MNIST, at 0.2 and 0.4"}});
  list.push_back(
      {.name = "certify-cifar",
       .summary = "certified training of CNN-7 at 8/255; give --data the folder of CIFAR-10",
       .options = certify({{"arch", "cnn7"},
                           {"epochs", "160"},
                           {"batch", "128"},
                           {"lr-schedule", "step(75%, 87.5%, 0.2)"},
                           {"certify-epsilon", "0 @1ep ; 0->8/255 : smooth @80ep ; 8/255 @rest"}}),
       .warnings = {}});
  list[1].warnings.emplace_back(
      "min-bits was 4 in the schedule suite and 3 in a figure of the first paper");
  list[2].warnings.emplace_back(
      "the first paper's script trained 120 epochs; 90 are the published setting as far as is "
      "known");
  list[2].warnings.emplace_back(
      "the reference crops a region of random size and shape for every image; here images are cut "
      "to a square once, then shifted "
      "and "
      "mirrored");
  return list;
}

}  // namespace

int main(int argc, char** argv) {
  ebb::train::Program program{
      "ebb-cnn", "Trains convolutional networks on images in emulated low precision.", archs()};
  program.presets = presets();
  return ebb::cli::run_main(argc, argv, ebb::cli::image_family(std::move(program)));
}
