// Training steps in Ebb, everything included: batch, forward, backward, optimizer.
//   compare_step NETWORK PLAN BATCH
// NETWORK and PLAN are as in training.h. Reads "STEPS THREADS" lines from standard input and
// answers each with the seconds of every step; "memory" gets the peak resident set in bytes,
// "version" says what runs, and "plan PLAN" goes on under another plan.
#include <omp.h>
#include <sys/resource.h>

#include <chrono>
#include <iostream>
#include <sstream>
#include <string>

#include "core/process.h"
#include "training.h"

int main(int argc, char** argv) {
  using namespace ebb;
  if (argc != 4) return std::cerr << "usage: compare_step NETWORK PLAN BATCH\n", 1;
  start_tuned(argv);
  keep_memory();
  const auto step = bench::make_step(argv[1], std::stoll(argv[3]));
  PrecisionPlan plan = bench::parse_plan(argv[2]);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first == "version") {
      std::cout << "Ebb on " << to_text(best_simd());
    } else if (first == "memory") {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      std::cout << 1024 * usage.ru_maxrss;
    } else if (first == "plan") {
      words >> first;
      plan = bench::parse_plan(first);
    } else {
      int threads = 0;
      words >> threads;
      omp_set_num_threads(threads);
      for (int steps = std::stoi(first); steps > 0; --steps) {
        const auto begun = std::chrono::steady_clock::now();
        step(plan);
        std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count()
                  << ' ';
      }
    }
    std::cout << std::endl;
  }
}
