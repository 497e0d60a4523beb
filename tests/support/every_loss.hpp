// One list of all losses, of every family, for tests that hold for all of them.
#pragma once

#include <distill/core/executor.hpp>
#include <distill/core/options.hpp>
#include <functional>
#include <string>
#include <vector>

namespace support {

/// A loss, and a problem of its own that is large enough for an executor to get several blocks.
struct AnyLoss {
  std::string name;
  /// Value, then gradients.
  std::function<std::vector<double>(const distill::RowOptions&)> call;

  std::vector<double> operator()(const distill::Executor& executor = {}) const {
    distill::RowOptions options;
    options.executor = executor;
    return call(options);
  }
};

/// In float.
const std::vector<AnyLoss>& every_loss();

}  // namespace support
