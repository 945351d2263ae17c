#include "models/image_family.h"

int main(int argc, char** argv) {
  const ebb::train::Arch mlp{.name = "mlp",
                             .summary = "784-256-128-10 for 28 x 28 digits",
                             .lr = 0.05,
                             .lr_schedule = "1->0 : cos",
                             .weight_decay = 1e-4,
                             .epochs = 5};
  ebb::train::Arch mlp_bn = mlp;
  mlp_bn.name = "mlp-bn";
  mlp_bn.summary = "the same with batch norm";
  return ebb::cli::run_main(
      argc, argv,
      ebb::cli::image_family(
          {"ebb-mlp",
           "Trains fully connected networks on images in emulated low precision.",
           {mlp, mlp_bn}}));
}
