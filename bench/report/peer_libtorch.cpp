// LibTorch's eager operators and autograd, as published PyTorch code of each loss computes it.
#include <torch/torch.h>

#include <map>
#include <memory>
#include <thread>

#include "peers.hpp"

namespace report {
namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

struct Inputs {
  Tensor student, teacher, labels;
};
using Loss = Tensor (*)(const Inputs&);

Tensor kl_divergence(const Inputs& in) {
  const Tensor log_q = torch::log_softmax(in.student / temperature, 1);
  const Tensor p = torch::softmax(in.teacher / temperature, 1);
  return F::kl_div(log_q, p, F::KLDivFuncOptions().reduction(torch::kBatchMean)) * (temperature * temperature);
}

Tensor knowledge_distillation(const Inputs& in) {
  return 0.9 * kl_divergence(in) + 0.1 * F::cross_entropy(in.student, in.labels);
}

Tensor feature_matching(const Inputs& in) {
  return F::mse_loss(in.student, in.teacher);
}

Tensor attention_map(const Tensor& x) {
  return F::normalize(x.pow(2).mean(1).flatten(1));
}
Tensor attention_transfer(const Inputs& in) {
  return (attention_map(in.student) - attention_map(in.teacher)).pow(2).mean();
}

const std::map<std::string, Loss> losses{
    {"AttentionTransfer", attention_transfer},
    {"FeatureMatching", feature_matching},
    {"KlDivergence", kl_divergence},
    {"KnowledgeDistillation", knowledge_distillation},
};

std::vector<float> numbers(const Tensor& tensor) {
  const Tensor flat = tensor.contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

Contender on_threads(int threads, const std::function<double()>& call, const std::function<Tensor()>& result) {
  return {threads == 1 ? "LibTorch" : "LibTorch, " + std::to_string(threads) + " threads",
          [=] {
            at::set_num_threads(threads);
            const double value = call();
            at::set_num_threads(1);
            return value;
          },
          [=] { return numbers(result()); }};
}

std::vector<Contender> contenders(const Problem& problem) {
  const std::vector<std::int64_t> shape(problem.shape.begin(), problem.shape.end());
  // Tensors share what they hold when they are copied.
  Inputs in{torch::from_blob(const_cast<float*>(problem.student), shape),
            torch::from_blob(const_cast<float*>(problem.teacher), shape),
            {}};
  std::function<double()> call;
  std::function<Tensor()> result;
  if (problem.loss == "softmax" || problem.loss == "log_softmax") {
    const auto out = std::make_shared<Tensor>();
    const auto operation = problem.loss == "softmax" ? [](const Tensor& x) { return torch::softmax(x, 1); }
                                                     : [](const Tensor& x) { return torch::log_softmax(x, 1); };
    call = [=] {
      const torch::NoGradGuard no_gradient;
      *out = operation(in.student);
      return *out->data_ptr<float>();
    };
    result = [out] { return *out; };
  } else {
    const auto loss = losses.find(problem.loss);
    if (loss == losses.end()) return {};
    in.student.requires_grad_();
    if (problem.labels != nullptr) {
      in.labels = torch::from_blob(const_cast<int*>(problem.labels), {shape[0]}, torch::kInt).to(torch::kLong);
    }
    call = [in, compute = loss->second] {
      in.student.mutable_grad() = Tensor();  // as optimizers zero it
      const Tensor value = compute(in);
      value.backward();
      return value.item<double>();
    };
    result = [in] { return in.student.grad(); };
  }
  std::vector<Contender> contenders{on_threads(1, call, result)};
  const auto all_threads = static_cast<int>(std::thread::hardware_concurrency());
  if (problem.all_threads && all_threads > 1) contenders.push_back(on_threads(all_threads, call, result));
  return contenders;
}

}  // namespace

Peer libtorch_peer() {
  return {"LibTorch", "libtorch-dev", TORCH_VERSION, contenders};
}

}  // namespace report
