// The adapter of LibTorch: values and gradients against the same losses in LibTorch's operations and autograd.
#include <distill/adapters/torch.hpp>  // first, as it has to bring all that it needs

#include <torch/torch.h>
#undef CHECK  // glog's, where LibTorch is built with it
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <distill/attention/attention_transfer.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/features/margin_relu.hpp>
#include <distill/features/variational_information.hpp>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/jensen_shannon.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <distill/logits/logit_mse.hpp>
#include <distill/logits/top_k.hpp>
#include <distill/relations/relational_distance.hpp>

namespace {

namespace F = torch::nn::functional;
using distill::libtorch::apply;
using torch::Tensor;

constexpr double T = 4;
constexpr std::int64_t batch = 6, classes = 11, channels = 5;

Tensor labels() {
  return torch::tensor({3, -100, 0, 10, 7, -100}, torch::kLong);
}
Tensor live_rows(const Tensor& x) {
  return x.index({labels() != -100});
}
Tensor margins() {
  return torch::linspace(-1, 0, channels, torch::kDouble);
}

// ------------------------------------------------------------------------------------- losses in LibTorch's operations

Tensor kl_divergence(const Tensor& s, const Tensor& t) {
  return F::kl_div(torch::log_softmax(s / T, -1), torch::softmax(t / T, -1),
                   F::KLDivFuncOptions().reduction(torch::kSum)) *
         (T * T / static_cast<double>(s.numel() / s.size(-1)));
}
Tensor cross_entropy(const Tensor& s, const Tensor&) {
  return F::cross_entropy(s, labels());
}
Tensor knowledge_distillation(const Tensor& s, const Tensor& t) {
  return 0.9 * kl_divergence(live_rows(s), live_rows(t)) + 0.1 * cross_entropy(s, t);
}
Tensor jensen_shannon(const Tensor& s, const Tensor& t) {
  const Tensor q = torch::softmax(s, 1), p = torch::softmax(t, 1), m = (p + q) / 2;
  return ((p * (p / m).log() + q * (q / m).log()) / 2).sum(1).mean();
}
Tensor mean_square(const Tensor& s, const Tensor& t) {
  return F::mse_loss(s, t);
}
Tensor margin_relu(const Tensor& s, const Tensor& t) {
  const Tensor target = torch::max(t, margins().to(t.scalar_type()).view({1, -1, 1, 1}));
  return ((s - target).pow(2) * ((s > target) | (target > 0))).sum() / s.size(0);
}
Tensor attention_transfer(const Tensor& s, const Tensor& t) {
  const auto map = [](const Tensor& x) { return F::normalize(x.pow(2).sum(1).flatten(1)); };
  return (map(s) - map(t)).pow(2).mean();
}
Tensor relational_distance(const Tensor& s, const Tensor& t) {
  const Tensor pairs = 1 - torch::eye(s.size(0), torch::kDouble);
  const auto distances = [&](const Tensor& x) {
    const Tensor squares = (x.unsqueeze(0) - x.unsqueeze(1)).pow(2).sum(2);
    const Tensor d = (squares + (1 - pairs)).sqrt() * pairs;
    return d / (d.sum() / pairs.sum());
  };
  return F::smooth_l1_loss(distances(s), distances(t));
}

// ------------------------------------------------------------------------------------------------------ comparison

using Loss = std::function<Tensor(const Tensor& student, const Tensor& teacher)>;

struct Case {
  std::string name;
  std::vector<std::int64_t> shape;
  Loss ours;
  Loss reference;
};

const std::vector<Case>& cases() {
  static const std::vector<std::int64_t> scores{batch, classes}, maps{batch, channels, 3, 4};
  static const std::vector<Case> all{
      {"KlDivergence", scores,
       [](const Tensor& s, const Tensor& t) { return apply(distill::KlDivergence{.temperature = T}, s, t); },
       kl_divergence},
      {"KnowledgeDistillation", scores,
       [](const Tensor& s, const Tensor& t) {
         return apply(distill::KnowledgeDistillation{.temperature = T, .alpha = 0.9}, s, t, labels());
       },
       knowledge_distillation},
      {"CrossEntropy", scores,
       [](const Tensor& s, const Tensor&) { return apply(distill::CrossEntropy{}, s, labels()); }, cross_entropy},
      {"JensenShannon", scores, [](const Tensor& s, const Tensor& t) { return apply(distill::JensenShannon{}, s, t); },
       jensen_shannon},
      {"LogitMse", scores, [](const Tensor& s, const Tensor& t) { return apply(distill::LogitMse{}, s, t); },
       mean_square},
      {"FeatureMatching", scores,
       [](const Tensor& s, const Tensor& t) { return apply(distill::FeatureMatching{}, s, t); }, mean_square},
      {"MarginRelu", maps,
       [](const Tensor& s, const Tensor& t) { return apply(distill::MarginRelu{}, s, t, margins()); }, margin_relu},
      {"AttentionTransfer", maps,
       [](const Tensor& s, const Tensor& t) { return apply(distill::AttentionTransfer{}, s, t); }, attention_transfer},
      {"RelationalDistance", scores,
       [](const Tensor& s, const Tensor& t) { return apply(distill::RelationalDistance{}, s, t); },
       relational_distance},
  };
  return all;
}

Tensor random(const std::vector<std::int64_t>& shape, std::int64_t seed, torch::ScalarType type = torch::kDouble) {
  torch::manual_seed(seed);
  return (2 * torch::randn(shape, torch::kDouble)).to(type);
}
/// A new leaf of the same strides.
Tensor leaf(const Tensor& x) {
  return x.detach().requires_grad_();
}
double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

/// Relative to the largest number of the gradient; the value relative to itself.
void check_same(const Tensor& value, const Tensor& gradient, const Tensor& expected, const Tensor& expected_gradient,
                double value_tolerance, double gradient_tolerance) {
  CHECK(value.dim() == 0);
  CHECK(value.item<double>() == doctest::Approx(expected.item<double>()).epsilon(value_tolerance));
  REQUIRE(gradient.defined());
  CHECK(gradient.sizes() == expected_gradient.sizes());
  CHECK(largest(gradient.to(torch::kDouble) - expected_gradient) <= gradient_tolerance * largest(expected_gradient));
}

void check_case(const Case& c, const Tensor& student, const Tensor& teacher, double value_tolerance,
                double gradient_tolerance) {
  CAPTURE(c.name);
  const Tensor s = leaf(student), reference = leaf(student.to(torch::kDouble).contiguous());
  const Tensor value = c.ours(s, teacher);
  const Tensor expected = c.reference(reference, teacher.to(torch::kDouble).contiguous());
  value.backward();
  expected.backward();
  CHECK((s.grad().scalar_type() == s.scalar_type()));
  CHECK((value.scalar_type() == (s.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat)));
  check_same(value, s.grad(), expected, reference.grad(), value_tolerance, gradient_tolerance);
}

Tensor double_sized(const Tensor& x) {
  return torch::cat({x, torch::full_like(x, std::nan(""))}, 1);
}

}  // namespace

TEST_CASE("libtorch: value and gradient are those of autograd, in every scalar type") {
  for (const Case& c : cases()) {
    const auto check = [&](torch::ScalarType type, double value_tolerance, double gradient_tolerance) {
      check_case(c, random(c.shape, 1, type), random(c.shape, 2, type), value_tolerance, gradient_tolerance);
    };
    check(torch::kDouble, 1e-9, 1e-9);
    check(torch::kFloat, 1e-5, 1e-5);
    check(torch::kBFloat16, 1e-5, 0x1p-8);
    check(torch::kHalf, 1e-5, 0x1p-10);
  }
}

TEST_CASE("libtorch: tensors are read by their strides") {
  for (const Case& c : cases()) {
    const Tensor s = random(c.shape, 3), t = random(c.shape, 4);
    const auto part = [](const Tensor& x) { return double_sized(x).narrow(1, 0, x.size(1)); };
    check_case(c, part(s), part(t), 1e-9, 1e-9);
    if (s.dim() == 4) {
      const auto last = [](const Tensor& x) { return x.contiguous(torch::MemoryFormat::ChannelsLast); };
      check_case(c, last(s), t, 1e-9, 1e-9);
      check_case(c, s, last(t), 1e-9, 1e-9);
      check_case(c, part(last(s)), last(t), 1e-9, 1e-9);
    }
  }
}

TEST_CASE("libtorch: batch x tokens x classes are one row for each token") {
  const Case c{"KlDivergence", {}, cases()[0].ours, kl_divergence};
  const Tensor s = random({2, 3, classes}, 5), t = random({2, 3, classes}, 6);
  check_case(c, s, t, 1e-9, 1e-9);
  const Tensor wide = random({2, 3, 2 * classes}, 7);
  check_case(c, wide.narrow(2, classes, classes), t, 1e-9, 1e-9);
  // the labels of tokens are 2-D, too
  const auto of_tokens = [](const Tensor& x, const Tensor& y) {
    return apply(distill::KnowledgeDistillation{.temperature = T, .alpha = 0.9}, x, y, labels().view({2, 3}));
  };
  CHECK(of_tokens(s, t).item<double>() ==
        doctest::Approx(knowledge_distillation(s.flatten(0, 1), t.flatten(0, 1)).item<double>()));
}

TEST_CASE("libtorch: labels of 32 bits, and labels apart in memory") {
  const Tensor s = random({batch, classes}, 8);
  const double expected = cross_entropy(s, s).item<double>();
  CHECK(apply(distill::CrossEntropy{}, s, labels().to(torch::kInt)).item<double>() == doctest::Approx(expected));
  const Tensor apart = torch::stack({labels(), labels()}, 1).select(1, 0);
  CHECK_FALSE(apart.is_contiguous());
  CHECK(apply(distill::CrossEntropy{}, s, apart).item<double>() == doctest::Approx(expected));
}

TEST_CASE("libtorch: row weights, and the loss of each row") {
  Tensor s = random({batch, classes}, 9), t = random({batch, classes}, 10);
  const Tensor weights = torch::tensor({1.0, 0.0, 2.0, 0.5, 0.0, 1.0}, torch::kFloat);
  const Tensor rows = torch::empty({batch}, torch::kDouble);
  const Tensor each = (torch::softmax(t, 1) * (torch::log_softmax(t, 1) - torch::log_softmax(s, 1))).sum(1);
  const double expected = ((each * weights).sum() / weights.sum()).item<double>();
  s[1].fill_(std::nan(""));  // a row of weight 0 is not read
  s.requires_grad_();
  const Tensor value = apply(distill::KlDivergence{}, s, t, {.weights = weights, .losses = rows});
  value.backward();
  CHECK(value.item<double>() == doctest::Approx(expected).epsilon(1e-12));
  CHECK(largest((rows - each) * (weights > 0)) < 1e-12);
  CHECK(largest(s.grad()[1]) == 0);
}

TEST_CASE("libtorch: the gradient is scaled by what arrives, and flows on through a graph") {
  const Tensor x = random({batch, 7}, 11), t = random({batch, classes}, 12), w = random({7, classes}, 13);
  const auto gradient_of = [&](const Loss& kl, const Loss& mse) {
    const Tensor weights = leaf(w), student = torch::tanh(x.mm(weights));
    (3 * kl(student, t) + 0.5 * mse(student, t).pow(2)).backward();
    return weights.grad();
  };
  const Tensor ours = gradient_of(cases()[0].ours, cases()[4].ours);
  const Tensor expected = gradient_of(cases()[0].reference, cases()[4].reference);
  CHECK(largest(ours - expected) <= 1e-9 * largest(expected));

  const Tensor s = leaf(t + 1);
  const Tensor value = apply(distill::LogitMse{}, s, t);
  value.backward({}, true);
  const Tensor once = s.grad().clone();
  value.backward({}, true);  // again, added: what is kept was not changed
  CHECK(largest(s.grad() - 2 * once) == 0);
  value.backward(torch::tensor(-2.0, torch::kDouble));
  CHECK(largest(s.grad()) < 1e-15);
}

TEST_CASE("libtorch: no gradient where none is wanted") {
  const Tensor s = leaf(random({batch, classes}, 14)), t = leaf(random({batch, classes}, 15));
  CHECK_FALSE(apply(distill::KlDivergence{}, s.detach(), t).requires_grad());
  {
    const torch::NoGradGuard guard;
    CHECK_FALSE(apply(distill::KlDivergence{}, s, t).requires_grad());
  }
  const Tensor value = apply(distill::KlDivergence{}, s, t);
  CHECK(value.requires_grad());
  CHECK_THROWS_WITH_AS(torch::autograd::grad({value}, {s}, {}, true, true),
                       "libtorch: create_graph is true, expected false: a loss has a first derivative, but no second",
                       std::invalid_argument);
  value.backward();
  CHECK(s.grad().defined());
  CHECK_FALSE(t.grad().defined());
}

TEST_CASE("libtorch: gradients are differences of values") {
  constexpr double h = 1e-5;
  for (const Case& c : {cases()[1], cases()[7]}) {
    CAPTURE(c.name);
    const Tensor s = leaf(random(c.shape, 16)), t = random(c.shape, 17);
    c.ours(s, t).backward();
    const Tensor gradient = s.grad().flatten();
    for (std::int64_t k = 0; k < s.numel(); ++k) {
      const auto moved = [&](double by) {
        Tensor copy = s.detach().clone();
        copy.view({-1})[k] += by;
        return c.ours(copy, t).item<double>();
      };
      CHECK(gradient[k].item<double>() == doctest::Approx((moved(h) - moved(-h)) / (2 * h)).epsilon(1e-6));
    }
  }
}

TEST_CASE("libtorch: a learned argument has its gradient") {
  const std::vector<std::int64_t> shape{batch, channels, 3, 4};
  const Tensor s = leaf(random(shape, 18)), t = random(shape, 19), log_scale = leaf(random({channels}, 20));
  const Tensor value = apply(distill::VariationalInformation{}, s, t, distill::libtorch::learned(log_scale));
  value.backward();

  const Tensor s2 = leaf(s), log_scale2 = leaf(log_scale);
  const Tensor variance = (torch::softplus(log_scale2) + 1e-5).view({1, -1, 1, 1});
  const Tensor expected = (((s2 - t).pow(2) / variance + variance.log()) / 2).mean();
  expected.backward();
  check_same(value, s.grad(), expected, s2.grad(), 1e-9, 1e-9);
  check_same(value, log_scale.grad(), expected, log_scale2.grad(), 1e-9, 1e-9);

  // 16 bits: computed and kept in float, and handed over in 16
  const Tensor rough = leaf(log_scale.to(torch::kBFloat16)), s16 = s.detach().to(torch::kBFloat16);
  apply(distill::VariationalInformation{}, s16, t.to(torch::kBFloat16), distill::libtorch::learned(rough)).backward();
  CHECK((rough.grad().scalar_type() == torch::kBFloat16));
  CHECK(largest(rough.grad() - log_scale2.grad()) <= 0.05 * largest(log_scale2.grad()));
}

TEST_CASE("libtorch: what is no tensor is passed on") {
  const Tensor s = leaf(random({batch, classes}, 21, torch::kFloat)), t = random({batch, classes}, 22, torch::kHalf);
  // a teacher of another type, and log-probabilities
  const auto teacher = distill::libtorch::matrix<const at::Half>(t);
  const double expected = kl_divergence(s, t.to(torch::kFloat)).item<double>();
  const distill::KlDivergence kl{.temperature = T};
  CHECK(apply(kl, s, teacher).item<double>() == doctest::Approx(expected).epsilon(1e-5));
  const Tensor log_p = torch::log_softmax(t.to(torch::kFloat), 1);
  const Tensor value = apply(kl, s, distill::log_probabilities(distill::libtorch::matrix<const float>(log_p)));
  CHECK(value.item<double>() == doctest::Approx(expected).epsilon(1e-5));
  // a callable
  const auto twice = [&](const auto& student, const auto& of, const auto&... more) {
    return 2 * kl(student, of, more...);
  };
  CHECK(apply(twice, s.detach(), t.to(torch::kFloat)).item<double>() == doctest::Approx(2 * expected).epsilon(1e-5));
  // one that names its arguments, with a gradient and without
  const auto named = [&](const auto& student, const auto& of, const auto& grad, const auto& options) {
    return kl(student, of, grad, options);
  };
  const Tensor of_named = apply(named, s, t.to(torch::kFloat));
  of_named.backward();
  CHECK(of_named.item<double>() == doctest::Approx(expected).epsilon(1e-5));
  CHECK(apply(named, s.detach(), t.to(torch::kFloat)).item<double>() == of_named.item<double>());
  CHECK(largest(s.grad()) > 0);
}

TEST_CASE("docs/adapters/torch.md: scores of each position of a map") {
  const Tensor t = random({2, 3, 4, 5}, 25);
  const auto rows = [](const Tensor& x) { return x.permute({0, 2, 3, 1}).flatten(0, 2); };
  for (const bool last : {false, true}) {
    const auto format = last ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous;
    const Tensor s = leaf(random({2, 3, 4, 5}, 24).contiguous(format)), s2 = leaf(s);
    const Tensor value = apply(distill::KlDivergence{}, rows(s), rows(t));
    value.backward();
    const Tensor expected =
        F::kl_div(torch::log_softmax(s2, 1), torch::softmax(t, 1), F::KLDivFuncOptions().reduction(torch::kSum)) /
        (2 * 4 * 5);
    expected.backward();
    CHECK(value.item<double>() == doctest::Approx(expected.item<double>()));
    CHECK(largest(s.grad() - s2.grad()) <= 1e-9);
  }
}

TEST_CASE("libtorch: the same on LibTorch's threads") {
  const Tensor s = leaf(random({300, classes}, 23)), s2 = leaf(s), t = random({300, classes}, 24);
  const Tensor value = apply(distill::KlDivergence{}, s, t);
  const distill::libtorch::RowOptions options{.executor = distill::libtorch::executor};
  const Tensor value2 = apply(distill::KlDivergence{}, s2, t, options);
  value.backward();
  value2.backward();
  CHECK(value.item<double>() == value2.item<double>());
  CHECK(torch::equal(s.grad(), s2.grad()));
}

TEST_CASE("docs/executors.md: LibTorch's threads") {
  const auto torch_loop = [](std::size_t n, distill::LoopBody body) {
    at::parallel_for(0, static_cast<std::int64_t>(n), 1, [&](std::int64_t begin, std::int64_t end) {
      for (; begin < end; ++begin) body(static_cast<std::size_t>(begin));
    });
  };
  const Tensor s = random({300, classes}, 23), t = random({300, classes}, 24);
  const distill::libtorch::RowOptions options{.executor = torch_loop};
  CHECK(apply(distill::KlDivergence{}, s, t, options).item<double>() ==
        apply(distill::KlDivergence{}, s, t).item<double>());
}

TEST_CASE("libtorch: no rows") {
  const Tensor s = leaf(torch::empty({0, classes}));
  const Tensor value = apply(distill::KlDivergence{}, s, torch::empty({0, classes}));
  value.backward();
  CHECK(value.item<double>() == 0);
  CHECK(s.grad().numel() == 0);
}

TEST_CASE("libtorch: what cannot be read is named") {
  const auto fails = [](const auto& call, const char* message) {
    CHECK_THROWS_WITH_AS(call(), message, std::invalid_argument);
  };
  const Tensor s = torch::zeros({2, 3}), t = torch::zeros({2, 3}), maps = torch::zeros({2, 3, 4, 4});
  const auto kl = [&](const Tensor& student, const Tensor& teacher) {
    return [=] { apply(distill::KlDivergence{}, student, teacher); };
  };
  fails(kl(Tensor(), t), "libtorch: student is undefined, expected a tensor");
  fails(kl(s, Tensor()), "libtorch: teacher is undefined, expected a tensor");
  fails(kl(s.to(torch::kLong), t), "libtorch: student holds Long, expected Float, Double, Half or BFloat16");
  fails(kl(s, t.to(torch::kLong)), "libtorch: teacher holds Long, expected Float");
  fails(kl(s, t.to(torch::kDouble)), "libtorch: teacher holds Double, expected Float");
  fails(kl(s.to_sparse(), t), "libtorch: student is Sparse, expected a dense tensor");
  fails(kl(s, torch::empty({2, 3}, torch::kMeta)), "libtorch: teacher is on meta, expected the CPU");
  fails(kl(torch::zeros({3}), t),
        "libtorch: student is [3], expected 2-D (rows x columns) or 3-D (batch x tokens x columns)");
  fails(kl(maps, t),
        "libtorch: student is [2, 3, 4, 4], expected 2-D (rows x columns) or 3-D (batch x tokens x columns); "
        "flatten(1) makes maps one row per sample, permute({0, 2, 3, 1}).flatten(0, 2) one per position");
  fails(kl(torch::zeros({3, 2}).t(), t),
        "libtorch: student has strides [1, 2], expected 1 as the last: pass contiguous()");
  fails(
      kl(torch::zeros({2, 4, 3}).narrow(1, 1, 3), t),
      "libtorch: student is [2, 3, 3] with strides [12, 3, 1], expected all rows equally far apart: pass contiguous()");
  fails(kl(s, torch::zeros({2, 4})), "KlDivergence: teacher has 4 columns, student has 3");

  const auto attention = [&](const Tensor& student) {
    return [=] { apply(distill::AttentionTransfer{}, student, maps); };
  };
  fails(attention(s), "libtorch: student is [2, 3], expected 4-D (N x C x H x W)");
  fails(attention(torch::zeros({2, 3, 4, 5}).narrow(3, 0, 4)),
        "libtorch: student is [2, 3, 4, 4] with strides [60, 20, 5, 1], expected all positions equally far apart: pass "
        "contiguous()");

  const auto ce = [&](const Tensor& of) { return [=] { apply(distill::CrossEntropy{}, s, of); }; };
  fails(ce(torch::zeros({2})), "libtorch: labels holds Float, expected integers");
  fails(ce(Tensor()), "libtorch: labels is undefined, expected a tensor");
  fails(ce(torch::zeros({3}, torch::kLong)), "CrossEntropy: labels has 3 entries, student has 2 rows");
  fails([&] { apply(distill::MarginRelu{}, maps, maps, torch::zeros({3}, torch::kLong)); },
        "libtorch: per-channel tensor holds Long, expected Float");

  const auto weighted = [&](const Tensor& weights) {
    return [=] { apply(distill::KlDivergence{}, s, t, {.weights = weights}); };
  };
  fails(weighted(torch::ones({2}, torch::kDouble)), "libtorch: weights holds Double, expected Float");
  fails(weighted(torch::ones({3})), "libtorch: weights is [3] with strides [1], expected 2 contiguous elements");
  fails([&] { apply(distill::KlDivergence{}, s, t, {.losses = torch::empty({2})}); },
        "libtorch: losses holds Float, expected Double");
}

TEST_CASE("docs/adapters/torch.md: with the adapter and without") {
  torch::manual_seed(1);
  torch::nn::Linear student(7, classes);
  const Tensor x = torch::randn({batch, 7}), teacher_logits = torch::randn({batch, classes}), labels = ::labels();
  // clang-format off
  torch::Tensor loss = distill::libtorch::apply(distill::KnowledgeDistillation{}, student->forward(x), teacher_logits, labels);
  loss.backward();
  // clang-format on
  CHECK(student->bias.grad().abs().sum().item<float>() > 0);

  student->zero_grad();
  // clang-format off
  torch::Tensor logits = student->forward(x), grad = torch::empty_like(logits);
  const auto view = [](const torch::Tensor& t) { return distill::MatrixView{t.data_ptr<float>(), t.size(0), t.size(1)}; };
  double value = distill::KlDivergence{}(view(logits), view(teacher_logits), view(grad));
  logits.backward(grad);
  // clang-format on
  CHECK(value > 0);
  CHECK(torch::allclose(student->bias.grad(), grad.sum(0)));
}
