// LibTorch's eager operators and autograd, as published PyTorch code of each loss computes it.
#include <torch/torch.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "peers.hpp"

namespace report {
namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

struct Inputs {
  Tensor student, teacher, labels, per_channel;
};
using Loss = Tensor (*)(const Inputs&);

constexpr double squared_temperature = temperature * temperature;

// ----------------------------------------------------------------------------------------------------- class scores

Tensor log_probabilities(const Tensor& scores) {
  return torch::log_softmax(scores / temperature, 1);
}
Tensor probabilities(const Tensor& scores) {
  return torch::softmax(scores / temperature, 1);
}
/// kl_div of probabilities.
Tensor batch_mean_kl(const Tensor& log_q, const Tensor& p) {
  return F::kl_div(log_q, p, F::KLDivFuncOptions().reduction(torch::kBatchMean)) * squared_temperature;
}
/// KL(exp(log_p) || exp(log_m)) of rows, from their logarithms.
Tensor mean_kl(const Tensor& log_p, const Tensor& log_m) {
  return (log_p.exp() * (log_p - log_m)).sum(1).mean() * squared_temperature;
}

Tensor kl_divergence(const Inputs& in) {
  return batch_mean_kl(log_probabilities(in.student), probabilities(in.teacher));
}
Tensor cross_entropy(const Inputs& in) {
  return F::cross_entropy(in.student, in.labels);
}
Tensor knowledge_distillation(const Inputs& in) {
  return 0.9 * kl_divergence(in) + 0.1 * cross_entropy(in);
}
Tensor reverse_kl(const Inputs& in) {
  return mean_kl(log_probabilities(in.student), log_probabilities(in.teacher));
}
Tensor symmetric_kl(const Inputs& in) {
  return 0.5 * kl_divergence(in) + 0.5 * reverse_kl(in);
}
Tensor jensen_shannon(const Inputs& in) {
  constexpr double beta = 0.5;
  const Tensor log_q = log_probabilities(in.student), log_p = log_probabilities(in.teacher);
  const Tensor log_m = torch::logsumexp(torch::stack({log_q + std::log(1 - beta), log_p + std::log(beta)}), 0);
  const auto options = F::KLDivFuncOptions().reduction(torch::kBatchMean).log_target(true);
  return (beta * F::kl_div(log_m, log_p, options) + (1 - beta) * F::kl_div(log_m, log_q, options)) *
         squared_temperature;
}
Tensor mixture(const Tensor& log_a, const Tensor& log_b) {
  constexpr double skew = 0.1;
  return torch::log(skew * log_a.exp() + (1 - skew) * log_b.exp());
}
Tensor skewed_kl(const Inputs& in) {
  const Tensor log_q = log_probabilities(in.student), log_p = log_probabilities(in.teacher);
  return mean_kl(log_p, mixture(log_p, log_q));
}
Tensor skewed_reverse_kl(const Inputs& in) {
  const Tensor log_q = log_probabilities(in.student), log_p = log_probabilities(in.teacher);
  return mean_kl(log_q, mixture(log_q, log_p));
}
Tensor total_variation(const Inputs& in) {
  return 0.5 * (probabilities(in.student) - probabilities(in.teacher)).abs().sum(1).mean() * squared_temperature;
}
Tensor decoupled_kd(const Inputs& in) {
  constexpr double alpha = 1, beta = 8;
  const Tensor label = in.labels.unsqueeze(1);
  const Tensor is_label = torch::zeros_like(in.teacher).scatter_(1, label, 1);
  const Tensor is_other = torch::ones_like(in.teacher).scatter_(1, label, 0);
  const auto two_classes = [&](const Tensor& p) {
    return torch::cat({(p * is_label).sum(1, true), (p * is_other).sum(1, true)}, 1);
  };
  const Tensor q = two_classes(probabilities(in.student)), p = two_classes(probabilities(in.teacher));
  const Tensor log_q_others = torch::log_softmax(in.student / temperature - 1000 * is_label, 1);
  const Tensor p_others = torch::softmax(in.teacher / temperature - 1000 * is_label, 1);
  return alpha * batch_mean_kl(torch::log(q), p) + beta * batch_mean_kl(log_q_others, p_others);
}
Tensor weighted_soft_label(const Inputs& in) {
  const Tensor soft = -(probabilities(in.teacher) * log_probabilities(in.student)).sum(1);
  const auto options = F::CrossEntropyFuncOptions().reduction(torch::kNone);
  const Tensor student = F::cross_entropy(in.student.detach(), in.labels, options);
  const Tensor teacher = F::cross_entropy(in.teacher, in.labels, options);
  return ((1 - torch::exp(-student / (teacher + 1e-7))) * soft).mean() * squared_temperature;
}
Tensor pearson(const Tensor& a, const Tensor& b) {
  const Tensor x = a - a.mean(1, true), y = b - b.mean(1, true);
  return (x * y).sum(1) / (x.norm(2, 1) * y.norm(2, 1) + 1e-8);
}
Tensor dist(const Inputs& in) {
  const Tensor q = probabilities(in.student), p = probabilities(in.teacher);
  return ((1 - pearson(q, p).mean()) + (1 - pearson(q.t(), p.t()).mean())) * squared_temperature;
}
Tensor multi_level(const Inputs& in) {
  const Tensor q = probabilities(in.student), p = probabilities(in.teacher);
  return (q.mm(q.t()) - p.mm(p.t())).pow(2).sum() / q.size(0) + (q.t().mm(q) - p.t().mm(p)).pow(2).sum() / q.size(1);
}
Tensor logit_mse(const Inputs& in) {
  return F::mse_loss(in.student / temperature, in.teacher / temperature);
}
Tensor logit_cosine(const Inputs& in) {
  return (1 - torch::cosine_similarity(in.student, in.teacher, 1)).mean();
}
Tensor binary_kl(const Inputs& in) {
  const Tensor q = torch::sigmoid(in.student / temperature), p = torch::sigmoid(in.teacher / temperature);
  const Tensor yes = p * (torch::log(p) - torch::log(q)), no = (1 - p) * (torch::log(1 - p) - torch::log(1 - q));
  return (yes + no).sum(1).mean() * squared_temperature;
}

// ---------------------------------------------------------------------------------------------------- hidden layers

Tensor feature_matching(const Inputs& in) {
  return F::mse_loss(in.student, in.teacher);
}
Tensor attention_map(const Tensor& x) {
  return F::normalize(x.pow(2).mean(1).flatten(1));
}
Tensor attention_transfer(const Inputs& in) {
  return (attention_map(in.student) - attention_map(in.teacher)).pow(2).mean();
}
Tensor attention_matrix_kl(const Inputs& in) {
  const Tensor log_q = torch::log_softmax(in.student, 3), p = torch::softmax(in.teacher, 3);
  return F::kl_div(log_q, p, F::KLDivFuncOptions().reduction(torch::kSum)) / (p.numel() / p.size(3));
}
Tensor channel_wise(const Inputs& in) {
  const Tensor student = in.student.flatten(2).flatten(0, 1), teacher = in.teacher.flatten(2).flatten(0, 1);
  const Tensor log_p = log_probabilities(teacher), p = probabilities(teacher);
  return (p * log_p - p * log_probabilities(student)).sum() * squared_temperature / student.size(0);
}
Tensor standardised_channels(const Tensor& x) {
  const Tensor channels = x.permute({1, 0, 2, 3}).reshape({x.size(1), -1});
  return (channels - channels.mean(-1, true)) / (channels.std(-1, true, true) + 1e-6);
}
Tensor pearson_features(const Inputs& in) {
  return F::mse_loss(standardised_channels(in.student), standardised_channels(in.teacher)) / 2;
}
Tensor margin_relu(const Inputs& in) {
  const Tensor target = torch::max(in.teacher, in.per_channel.view({1, -1, 1, 1}));
  const Tensor squares = F::mse_loss(in.student, target, F::MSELossFuncOptions().reduction(torch::kNone));
  return (squares * ((in.student > target) | (target > 0)).to(torch::kFloat)).sum() / in.student.size(0);
}
Tensor factor_transfer(const Inputs& in) {
  return (F::normalize(in.student.flatten(1)) - F::normalize(in.teacher.flatten(1))).abs().mean();
}
Tensor review(const Inputs& in) {
  Tensor loss = F::mse_loss(in.student, in.teacher);
  double weight = 1, total = 1;
  for (const std::int64_t size : {4, 2, 1}) {
    if (size >= in.student.size(2)) continue;
    weight /= 2;
    total += weight;
    loss = loss + weight * F::mse_loss(torch::adaptive_avg_pool2d(in.student, {size, size}),
                                       torch::adaptive_avg_pool2d(in.teacher, {size, size}));
  }
  return loss / total;
}
Tensor variational_information(const Inputs& in) {
  const Tensor variance = (torch::log(1 + torch::exp(in.per_channel)) + 1e-5).view({1, -1, 1, 1});
  return (0.5 * ((in.student - in.teacher).pow(2) / variance + torch::log(variance))).mean();
}
Tensor activation_boundary(const Inputs& in) {
  constexpr double margin = 1;
  const Tensor &s = in.student, &t = in.teacher;
  const Tensor inactive = (s + margin).pow(2) * ((s > -margin) & (t <= 0)).to(torch::kFloat);
  const Tensor active = (s - margin).pow(2) * ((s <= margin) & (t > 0)).to(torch::kFloat);
  return (inactive + active).sum() / s.size(0);
}
Tensor mean_kernel(const Tensor& a, const Tensor& b) {
  return (a.unsqueeze(1) * b.unsqueeze(2)).sum(-1).pow(2).mean();
}
Tensor neuron_selectivity(const Inputs& in) {
  const auto normalize = [](const Tensor& x) { return F::normalize(x.flatten(2), F::NormalizeFuncOptions().dim(2)); };
  const Tensor s = normalize(in.student), t = normalize(in.teacher);
  return mean_kernel(t, t) + mean_kernel(s, s) - 2 * mean_kernel(s, t);
}
Tensor channel_gram(const Inputs& in) {
  const auto gram = [](const Tensor& x) {
    const Tensor channels = x.flatten(2);
    return F::normalize(torch::bmm(channels, channels.transpose(1, 2)), F::NormalizeFuncOptions().dim(2));
  };
  return F::mse_loss(gram(in.student), gram(in.teacher));
}

// -------------------------------------------------------------------------------------------------- pairs of samples

Tensor distances(const Tensor& x) {
  const Tensor squares = x.pow(2).sum(1);
  const Tensor d = (squares.unsqueeze(1) + squares.unsqueeze(0) - 2 * x.mm(x.t())).clamp_min(1e-12).sqrt();
  return d * (1 - torch::eye(x.size(0)));
}
Tensor relative_distances(const Tensor& x) {
  const Tensor d = distances(x);
  return d / d.index({d > 0}).mean();
}
Tensor relational_distance(const Inputs& in) {
  return F::smooth_l1_loss(relative_distances(in.student), relative_distances(in.teacher));
}
Tensor angles(const Tensor& x) {
  const Tensor directions = F::normalize(x.unsqueeze(0) - x.unsqueeze(1), F::NormalizeFuncOptions().dim(2));
  return torch::bmm(directions, directions.transpose(1, 2)).flatten();
}
Tensor relational_angle(const Inputs& in) {
  return F::smooth_l1_loss(angles(in.student), angles(in.teacher));
}
Tensor similarity_preserving(const Inputs& in) {
  const auto similarity = [](const Tensor& x) { return F::normalize(x.mm(x.t())); };
  return (similarity(in.teacher) - similarity(in.student)).pow(2).sum() / (in.student.size(0) * in.student.size(0));
}
Tensor likeness(const Tensor& x) {
  const Tensor unit = x / (x.pow(2).sum(1, true).sqrt() + 1e-7);
  const Tensor k = (unit.mm(unit.t()) + 1) / 2;
  return k / k.sum(1, true);
}
Tensor probabilistic_transfer(const Inputs& in) {
  const Tensor q = likeness(in.student), p = likeness(in.teacher);
  return (p * torch::log((p + 1e-7) / (q + 1e-7))).mean();
}
Tensor gaussian_kernel(const Tensor& x) {
  constexpr double gamma = 0.4;
  const Tensor unit = F::normalize(x), similarity = unit.mm(unit.t());
  Tensor sum = torch::zeros_like(similarity);
  double factor = std::exp(-2 * gamma);
  for (int power = 0; power <= 2; ++power) {
    sum = sum + factor * similarity.pow(power);
    factor *= 2 * gamma / (power + 1);
  }
  return sum;
}
Tensor correlation_congruence(const Inputs& in) {
  return F::mse_loss(gaussian_kernel(in.student), gaussian_kernel(in.teacher));
}
Tensor linear_cka(const Inputs& in) {
  const Tensor x = in.student - in.student.mean(0, true), y = in.teacher - in.teacher.mean(0, true);
  return 1 - x.t().mm(y).norm().pow(2) / (x.t().mm(x).norm() * y.t().mm(y).norm());
}
Tensor contrastive(const Inputs& in) {
  const Tensor scores = F::normalize(in.student).mm(F::normalize(in.teacher).t()) / 0.07;
  return F::cross_entropy(scores, torch::arange(scores.size(0), torch::kLong));
}

const std::map<std::string, Loss> losses{
    {"ActivationBoundary", activation_boundary},
    {"AttentionMatrix, KL", attention_matrix_kl},
    {"AttentionTransfer", attention_transfer},
    {"BinaryKl", binary_kl},
    {"ChannelGram", channel_gram},
    {"ChannelWise", channel_wise},
    {"Contrastive", contrastive},
    {"CorrelationCongruence", correlation_congruence},
    {"CrossEntropy", cross_entropy},
    {"DecoupledKd", decoupled_kd},
    {"Dist", dist},
    {"FactorTransfer", factor_transfer},
    {"FeatureMatching", feature_matching},
    {"JensenShannon", jensen_shannon},
    {"KlDivergence", kl_divergence},
    {"KnowledgeDistillation", knowledge_distillation},
    {"LinearCka", linear_cka},
    {"LogitCosine", logit_cosine},
    {"LogitMse", logit_mse},
    {"MarginRelu", margin_relu},
    {"MultiLevel", multi_level},
    {"NeuronSelectivity", neuron_selectivity},
    {"PearsonFeatures", pearson_features},
    {"ProbabilisticTransfer", probabilistic_transfer},
    {"RelationalAngle", relational_angle},
    {"RelationalDistance", relational_distance},
    {"ReverseKl", reverse_kl},
    {"Review", review},
    {"SimilarityPreserving", similarity_preserving},
    {"SkewedKl", skewed_kl},
    {"SkewedReverseKl", skewed_reverse_kl},
    {"SymmetricKl", symmetric_kl},
    {"TotalVariation", total_variation},
    {"VariationalInformation", variational_information},
    {"WeightedSoftLabel", weighted_soft_label},
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
  // Copies of tensors share their data.
  Inputs in{torch::from_blob(const_cast<float*>(problem.student), shape),
            torch::from_blob(const_cast<float*>(problem.teacher), shape),
            {},
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
    if (problem.per_channel != nullptr) {
      in.per_channel = torch::from_blob(const_cast<float*>(problem.per_channel), {shape[1]});
      in.per_channel.requires_grad_(problem.loss == "VariationalInformation");  // margins are constants
    }
    call = [in, compute = loss->second] {
      in.student.mutable_grad() = Tensor();  // as optimizers zero it
      if (in.per_channel.defined()) in.per_channel.mutable_grad() = Tensor();
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

/// Products use the system's BLAS, which may be fast or slow: "blas/libblas.so.3.11.0" is slow.
std::string blas() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libblas") == std::string::npos && line.find("libopenblas") == std::string::npos) continue;
    const std::filesystem::path path = line.substr(line.find('/'));
    return " with " + (path.parent_path().filename() / path.filename()).string();
  }
  return "";
}

}  // namespace

Peer libtorch_peer() {
  return {"LibTorch", "libtorch-dev", TORCH_VERSION + blas(), contenders};
}

}  // namespace report
