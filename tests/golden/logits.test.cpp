// Every golden vector of a loss on class scores. The rows of docs/coming-from.md are the calls below.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <distill/distill.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "support/golden.hpp"

namespace {

using namespace distill;
using nlohmann::json;

using Scores = MatrixView<const double>;
using Grad = MatrixView<double>;

/// What a golden case holds: rows of label -100 or of mask 0 have weight 0.
struct Case {
  json golden;
  json params;
  support::GoldenArray student, teacher;
  std::vector<std::int64_t> labels;
  std::vector<float> weights;
  std::vector<double> gradient;
  RowOptions options;

  Case(const json& c, const std::string& teacher_name)
      : golden(c),
        params(c.at("params")),
        student(c.at("inputs").at("student")),
        teacher(c.at("inputs").at(teacher_name)),
        weights(student.rows, 1.0f),
        gradient(student.data.size()) {
    const json& inputs = c.at("inputs");
    if (inputs.contains("labels")) {
      labels = inputs.at("labels").at("data").get<std::vector<std::int64_t>>();
      for (std::size_t i = 0; i < labels.size(); ++i) weights[i] = labels[i] == -100 ? 0.0f : 1.0f;
    }
    if (inputs.contains("mask") && inputs.at("mask").at("data").size() == weights.size()) {
      weights = inputs.at("mask").at("data").get<std::vector<float>>();
    }
  }

  Scores s() const { return {student.data.data(), student.rows, student.cols}; }
  Scores t() const { return {teacher.data.data(), teacher.rows, teacher.cols}; }
  Grad g() { return {gradient.data(), student.rows, student.cols}; }
  RowOptions row_weights() const {
    RowOptions result;
    result.weights = weights;
    return result;
  }
  double number(const char* name, double otherwise) const { return params.value(name, otherwise); }
  double temperature() const { return params.value("T", 1.0); }
  /// batchmean, sum and mean, as PyTorch's kl_div has them
  Reduction reduction() const {
    const std::string name = params.value("reduction", "batchmean");
    return name == "sum" ? Reduction::sum : name == "mean" ? Reduction::per_element : Reduction::mean;
  }
};

/// Calls call(case), which returns the loss and fills in case.gradient, for every case of a file.
template <class Call>
void check(const std::string& file, const Call& call, const std::string& teacher = "teacher") {
  for (const json& golden : support::golden_cases(file)) {
    CAPTURE(file);
    CAPTURE(golden.at("name").get<std::string>());
    Case c(golden, teacher);
    const double loss = call(c);
    support::check_golden_loss(golden, loss);
    support::check_golden_gradient(golden, c.gradient);
  }
}

/// The case's temperature may be one a row: then a call a row.
template <class Loss>
double at_temperatures(Case& c, Loss loss) {
  if (!c.params.at("T").is_array()) {
    loss.temperature = c.temperature();
    return loss(c.s(), c.t(), c.g());
  }
  double sum = 0;
  loss.weight = 1.0 / static_cast<double>(c.student.rows);
  for (std::size_t i = 0; i < c.student.rows; ++i) {
    loss.temperature = c.params.at("T").at(i).get<double>();
    sum += loss(Scores{c.s().row(i), 1, c.student.cols}, Scores{c.t().row(i), 1, c.student.cols},
                Grad{c.g().row(i), 1, c.student.cols});
  }
  return sum;
}

template <class Call>
void check_all(std::initializer_list<const char*> files, const Call& call) {
  for (const char* file : files) check(file, call);
}

}  // namespace

TEST_CASE("golden: KL, and its cross entropy") {
  check_all({"kd.repdistiller", "kd.mdistiller", "kd.mmrazor", "kd.modelopt", "forward_kl.automodel",
             "forward_kl.distillkit"},
            [](Case& c) {
              const KlDivergence loss{.temperature = c.temperature(), .reduction = c.reduction()};
              return loss(c.s(), c.t(), c.g(), c.row_weights());
            });
  check("forward_kl.dskd", [](Case& c) {
    const KlDivergence loss{
        .temperature = c.temperature(), .scale_by_temperature_squared = false, .reduction = Reduction::sum};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check_all({"forward_kl.torchtune", "forward_kl.distillm"}, [](Case& c) {
    const KlDivergence loss{.subtract_teacher_entropy = false,
                            .reduction = c.number("normalize", 1) == 0 ? Reduction::sum : Reduction::mean};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("soft_cross_entropy.textbrewer", [](Case& c) {
    return at_temperatures(c, KlDivergence{.scale_by_temperature_squared = false, .subtract_teacher_entropy = false});
  });
}

TEST_CASE("golden: knowledge distillation with labels") {
  const auto mixed = [](Case& c, Standardize standardize) {
    const double labels_share = c.number("alpha", 0);  // there alpha is the labels'
    const double teacher_share = c.number("beta", 1 - labels_share);
    if (labels_share == 0) {
      const KlDivergence loss{.temperature = c.temperature(),
                              .scale_by_temperature_squared = false,
                              .logits = {.standardize = standardize}};
      return loss(c.s(), c.t(), c.g());
    }
    const double sum = labels_share + teacher_share;
    const KnowledgeDistillation loss{.temperature = c.temperature(),
                                     .alpha = teacher_share / sum,
                                     .weight = sum,
                                     .logits = {.standardize = standardize}};
    return loss(c.s(), c.t(), c.labels, c.g());
  };
  check("ce_kd.torchdistill", [&](Case& c) { return mixed(c, Standardize::none); });
  check("logit_std_kd.torchdistill", [&](Case& c) { return mixed(c, Standardize::unbiased); });
  check("logit_std_kd.authors", [](Case& c) {
    const KlDivergence loss{.temperature = c.temperature(), .logits = {.standardize = Standardize::unbiased}};
    return loss(c.s(), c.t(), c.g());
  });
}

TEST_CASE("golden: reverse and symmetric KL") {
  check_all({"reverse_kl.torchtune", "reverse_kl.distillm"}, [](Case& c) {
    const ReverseKl loss{.reduction = c.number("normalize", 1) == 0 ? Reduction::sum : Reduction::mean};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("reverse_kl.dskd", [](Case& c) {
    const ReverseKl loss{
        .temperature = c.temperature(), .scale_by_temperature_squared = false, .reduction = Reduction::sum};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("symmetric_kl.torchtune", [](Case& c) {
    const SymmetricKl loss{.forward_weight = c.number("ratio", 0), .subtract_teacher_entropy = false};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("symmetric_kl.distillm", [](Case& c) {
    const SymmetricKl loss{.forward_weight = 1 - c.number("lam", 0), .subtract_teacher_entropy = false};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("adaptive_kl.dskd", [](Case& c) {
    const AdaptiveKl loss{.temperature = c.temperature(),
                          .scale_by_temperature_squared = false,
                          .tail_mass = c.number("alpha", 0),
                          .reduction = Reduction::sum};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
}

TEST_CASE("golden: Jensen-Shannon") {
  check("jsd.distillkit",
        [](Case& c) { return JensenShannon{.temperature = c.temperature()}(c.s(), c.t(), c.g(), c.row_weights()); });
  check("jsd.distillm",
        [](Case& c) { return JensenShannon{.beta = 1 - c.number("lam", 0)}(c.s(), c.t(), c.g(), c.row_weights()); });
  check_all({"jsd.trl", "jsd.liger"}, [](Case& c) {
    const JensenShannon loss{.temperature = c.temperature(),
                             .scale_by_temperature_squared = false,
                             .beta = c.number("beta", 0),
                             .reduction = c.reduction()};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("jsd_ce.liger_chunked", [](Case& c) {
    const CrossEntropy hard{.weight = c.number("w_hard", 0)};
    const JensenShannon soft{.temperature = c.temperature(),
                             .scale_by_temperature_squared = false,
                             .beta = c.number("beta", 0),
                             .weight = c.number("w_soft", 0)};
    return hard(c.s(), c.labels, c.g()) + soft(c.s(), c.t(), add_to(c.g()), c.row_weights());
  });
  // 1e-9 inside each logarithm bends value and gradient; ours is the formula without it
  for (const json& golden : support::golden_cases("jsd.dskd")) {
    Case c(golden, "teacher");
    const JensenShannon loss{
        .temperature = c.temperature(), .scale_by_temperature_squared = false, .reduction = Reduction::sum};
    CHECK(loss(c.s(), c.t(), c.g(), c.row_weights()) ==
          doctest::Approx(golden.at("loss").get<double>()).epsilon(tolerances::golden_with_epsilon));
  }
}

TEST_CASE("golden: skewed KL and total variation") {
  check("skew_forward_kl.distillm", [](Case& c) {
    const SkewedKl loss{.skew = c.number("lam", 0), .subtract_teacher_entropy = false};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("skew_forward_kl.dskd", [](Case& c) {
    const SkewedKl loss{.temperature = c.temperature(),
                        .scale_by_temperature_squared = false,
                        .skew = c.number("lam", 0),
                        .reduction = Reduction::sum};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check("skew_reverse_kl.distillm",
        [](Case& c) { return SkewedReverseKl{.skew = c.number("lam", 0)}(c.s(), c.t(), c.g(), c.row_weights()); });
  check("skew_reverse_kl.dskd", [](Case& c) {
    const SkewedReverseKl loss{.temperature = c.temperature(),
                               .scale_by_temperature_squared = false,
                               .skew = c.number("lam", 0),
                               .reduction = Reduction::sum};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
  check_all({"tvd.distillkit", "tvd.distillm"}, [](Case& c) {
    return TotalVariation{.temperature = c.temperature()}(c.s(), c.t(), c.g(), c.row_weights());
  });
  // the inputs are probabilities, and so are the gradient's variables
  check("tvd_probs.liger", [](Case& c) {
    const FeatureMatching loss{.distance = FeatureDistance::absolute, .weight = 0.5, .reduction = c.reduction()};
    return loss(c.s(), c.t(), c.g(), c.row_weights());
  });
}

TEST_CASE("golden: decoupled KD") {
  check("dkd.mdistiller", [](Case& c) {
    const DecoupledKd loss{.temperature = c.temperature(), .alpha = c.number("alpha", 1), .beta = c.number("beta", 1)};
    return loss(c.s(), c.t(), c.labels, c.g());
  });
  check("dkd.mmrazor", [](Case& c) {
    const bool is_mean = c.params.at("reduction") == "batchmean";  // its "mean" is a sum
    const DecoupledKd loss{.temperature = c.temperature(),
                           .alpha = c.number("alpha", 1),
                           .beta = c.number("beta", 1),
                           .reduction = is_mean ? Reduction::mean : Reduction::sum};
    return loss(c.s(), c.t(), c.labels, c.g());
  });
  check("logit_std_dkd.authors", [](Case& c) {
    const DecoupledKd loss{.temperature = c.temperature(),
                           .alpha = c.number("alpha", 1),
                           .beta = c.number("beta", 1),
                           .logits = {.standardize = Standardize::unbiased}};
    return loss(c.s(), c.t(), c.labels, c.g());
  });
}

TEST_CASE("golden: correlation in a batch") {
  check_all({"dist.authors", "dist.mmrazor"}, [](Case& c) {
    const Dist loss{
        .temperature = c.temperature(), .beta = c.number("beta", 1), .gamma = c.number("gamma", 1), .epsilon = 1e-8};
    const json& shape = c.golden.at("inputs").at("student").at("shape");
    if (shape.size() == 2) return loss(c.s(), c.t(), c.g());
    // N x C x H x W: each position is a row of C scores
    const std::size_t batch = shape[0], classes = shape[1], positions = c.student.data.size() / batch / classes;
    const auto moved = [&](const std::vector<double>& from, bool back) {
      std::vector<double> to(from.size());
      for (std::size_t n = 0; n < batch; ++n) {
        for (std::size_t j = 0; j < classes; ++j) {
          for (std::size_t x = 0; x < positions; ++x) {
            const std::size_t map = (n * classes + j) * positions + x, row = (n * positions + x) * classes + j;
            to[back ? map : row] = from[back ? row : map];
          }
        }
      }
      return to;
    };
    const auto student = moved(c.student.data, false), teacher = moved(c.teacher.data, false);
    const std::size_t rows = batch * positions;
    const double value = loss(Scores{student.data(), rows, classes}, Scores{teacher.data(), rows, classes},
                              Grad{c.gradient.data(), rows, classes});
    c.gradient = moved(c.gradient, true);
    return value;
  });
  check("dist.torchdistill", [](Case& c) {
    const Dist loss{.temperature = c.temperature(), .beta = c.number("beta", 1), .gamma = c.number("gamma", 1)};
    return loss(c.s(), c.t(), c.g());
  });
  check("mlkd_batch.logitstd",
        [](Case& c) { return MultiLevel{.temperature = c.temperature(), .class_weight = 0}(c.s(), c.t(), c.g()); });
  check("mlkd_class.logitstd",
        [](Case& c) { return MultiLevel{.temperature = c.temperature(), .batch_weight = 0}(c.s(), c.t(), c.g()); });
}

TEST_CASE("golden: logits without a softmax, and weighted soft labels") {
  check("logit_mse.textbrewer", [](Case& c) { return at_temperatures(c, LogitMse{}); });
  // ignored rows are in its sum, but not in its divisor
  check("logit_cosine.liger", [](Case& c) {
    const double counted = static_cast<double>(std::count(c.weights.begin(), c.weights.end(), 1.0f));
    const LogitCosine loss{.weight = c.number("beta", 1) / std::max(1.0, counted), .reduction = Reduction::sum};
    return loss(c.s(), c.t(), c.g());
  });
  check("wsld.mmrazor", [](Case& c) {
    const WeightedSoftLabel loss{
        .temperature = c.temperature(), .teacher_epsilon = 1e-7, .subtract_teacher_entropy = false};
    return loss(c.s(), c.t(), c.labels, c.g());
  });
}

namespace {

/// A golden case with a teacher of k classes a row.
struct SparseCase : Case {
  std::vector<std::int64_t> ids;
  std::size_t k;

  SparseCase(const Case& c, const std::string& values) : Case(c.golden, values) {
    ids = golden.at("inputs").at("ids").at("data").get<std::vector<std::int64_t>>();
    k = teacher.cols;
  }
  auto sparse() const {
    return sparse_teacher(MatrixView<const std::int64_t>{ids.data(), student.rows, k},
                          MatrixView<const double>{teacher.data.data(), student.rows, k});
  }
};

template <class Call>
void check_sparse(const std::string& file, const std::string& values, const Call& call) {
  check(
      file,
      [&](Case& c) {
        SparseCase sparse(c, values);
        const double loss = call(sparse);
        c.gradient = sparse.gradient;
        return loss;
      },
      values);
}

/// distillkit's options.
template <class Loss>
double distillkit(SparseCase& c, Loss loss) {
  loss.temperature = c.temperature();
  loss.teacher_temperature = c.number("T_gen", 1);
  const bool has_bucket = c.params.at("missing") == "symmetric_uniform" && c.params.at("log_values") == 1;
  loss.tail = has_bucket ? Tail::tail_bucket : Tail::renormalise_teacher;
  return loss(c.s(), c.sparse(), c.g(), c.row_weights());
}

}  // namespace

TEST_CASE("golden: teachers of k classes") {
  check_sparse("topk_kl.distillkit", "values", [](SparseCase& c) { return distillkit(c, TopKKl{}); });
  check_sparse("topk_jsd.distillkit", "values", [](SparseCase& c) { return distillkit(c, TopKJensenShannon{}); });
  check_sparse("topk_tvd.distillkit", "values", [](SparseCase& c) { return distillkit(c, TopKTotalVariation{}); });
  // the teacher's probabilities as given; entries that do not count have probability 0
  check_sparse("topk_kl.axolotl", "values", [](SparseCase& c) {
    const auto mask = c.golden.at("inputs").at("mask").at("data").get<std::vector<int>>();
    double counted = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
      counted += mask[i];
      if (mask[i] == 0) c.teacher.data[i] = -INFINITY;
    }
    const double items = c.number("num_items", -1);
    const TopKKl loss{.temperature = c.temperature(),
                      .teacher_temperature = c.temperature(),
                      .scale_by_temperature_squared = false,
                      .tail = Tail::truncate,
                      .weight = 1 / (items > 0 ? items : counted),
                      .reduction = Reduction::sum};
    return loss(c.s(), c.sparse(), c.g());
  });
}

TEST_CASE("golden: teachers of k classes, NeMo-RL") {
  check_sparse("topk_kl.nemorl", "teacher_topk_logits", [](SparseCase& c) {
    const json& inputs = c.golden.at("inputs");
    const auto mask = inputs.at("token_mask").at("data").get<std::vector<float>>();
    const auto samples = inputs.at("sample_mask").at("data").get<std::vector<float>>();
    const std::size_t length = inputs.at("student").at("shape").at(1).get<std::size_t>();
    double total = 0;
    for (std::size_t i = 0; i < c.weights.size(); ++i) {
      // a position has the weight of the next one, the last has none
      c.weights[i] = (i + 1) % length == 0 ? 0 : mask[i + 1] * samples[i / length];
      total += static_cast<double>(c.weights[i]);
    }
    const std::string kind = c.params.at("kl_type");
    const double forward = kind == "forward" ? 1 : kind == "reverse" ? 0 : c.number("mixed_kl_weight", 0);
    const double weight = 1 / (total + 1e-8);
    if (c.number("zero_outside_topk", 0) == 0) {
      const TopKKl kl{.tail = Tail::renormalise_both, .weight = forward * weight, .reduction = Reduction::sum};
      const TopKReverseKl reverse{
          .tail = Tail::renormalise_both, .weight = (1 - forward) * weight, .reduction = Reduction::sum};
      return kl(c.s(), c.sparse(), c.g(), c.row_weights()) + reverse(c.s(), c.sparse(), add_to(c.g()), c.row_weights());
    }
    if (kind == "forward") {
      const TopKKl kl{.tail = Tail::renormalise_teacher, .weight = weight, .reduction = Reduction::sum};
      return kl(c.s(), c.sparse(), c.g(), c.row_weights());
    }
    // a log-probability of -100 for the others: a teacher of all classes
    std::vector<double> dense(c.student.data.size(), -100);
    for (std::size_t i = 0; i < c.student.rows; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < c.k; ++j) sum += std::exp(c.teacher.data[i * c.k + j]);
      for (std::size_t j = 0; j < c.k; ++j) {
        dense[i * c.student.cols + static_cast<std::size_t>(c.ids[i * c.k + j])] =
            c.teacher.data[i * c.k + j] - std::log(sum);
      }
    }
    const SymmetricKl loss{.forward_weight = forward, .weight = weight, .reduction = Reduction::sum};
    return loss(c.s(), log_probabilities(Scores{dense.data(), c.student.rows, c.student.cols}), c.g(), c.row_weights());
  });
}

TEST_CASE("golden: teachers of k classes, student renormalised") {
  // Its mask leaves single entries out of the sum after both sides were normalised over them: rows with such entries
  // have no counterpart here. So rows are compared one by one, by their gradients, and values where all entries count.
  int rows_compared = 0;
  for (const json& golden : support::golden_cases("topk_kl_renorm.axolotl")) {
    CAPTURE(golden.at("name").get<std::string>());
    SparseCase c(Case(golden, "values"), "values");
    const auto mask = golden.at("inputs").at("mask").at("data").get<std::vector<int>>();
    bool all_count = true;
    std::vector<bool> comparable(c.student.rows);
    for (std::size_t i = 0; i < c.student.rows; ++i) {
      const auto counted = std::count(mask.begin() + static_cast<std::ptrdiff_t>(i * c.k),
                                      mask.begin() + static_cast<std::ptrdiff_t>((i + 1) * c.k), 1);
      c.weights[i] = counted == 0 ? 0.0f : 1.0f;
      comparable[i] = counted == 0 || counted == static_cast<std::ptrdiff_t>(c.k);
      all_count = all_count && comparable[i];
    }
    const Tail tail = c.number("normalize_topk", 1) == 1 ? Tail::renormalise_both : Tail::truncate;
    const TopKJensenShannon loss{.temperature = c.temperature(),
                                 .teacher_temperature = c.temperature(),
                                 .scale_by_temperature_squared = false,
                                 .tail = tail,
                                 .beta = c.number("beta", 0),
                                 .reduction = Reduction::sum};
    const double value = loss(c.s(), c.sparse(), c.g(), c.row_weights());
    // the teacher's log-probabilities, rounded to float, do not quite add up to 1 there, and here they do
    const double tolerance = tail == Tail::truncate ? tolerances::golden : tolerances::golden_renormalised;
    if (all_count) CHECK(value == doctest::Approx(golden.at("loss").get<double>()).epsilon(tolerance));
    const support::GoldenArray expected(golden.at("gradients").at("student"));
    for (std::size_t i = 0; i < c.student.rows; ++i) {
      if (!comparable[i]) continue;
      ++rows_compared;
      for (std::size_t j = 0; j < c.student.cols; ++j) {
        CHECK(std::abs(c.g().row(i)[j] - expected.data[i * c.student.cols + j]) <= tolerance);
      }
    }
  }
  CHECK(rows_compared >= 15);
}

TEST_CASE("golden: sorted probabilities of two vocabularies") {
  // Which rows stand beside each other is the caller's to say: here, those of the two answers, from their beginnings.
  const auto uld = [](const std::string& file, bool is_mean) {
    for (const json& golden : support::golden_cases(file)) {
      CAPTURE(golden.at("name").get<std::string>());
      const support::GoldenArray student(golden.at("inputs").at("student")), teacher(golden.at("inputs").at("teacher"));
      const json& params = golden.at("params");
      struct Span {
        std::size_t begin, size;
      };
      const auto span = [&](const char* name, std::size_t sequence) {
        const json& labels = golden.at("inputs").at(name);
        const std::size_t length = labels.at("shape").at(1).get<std::size_t>();
        Span result{0, 0};
        for (std::size_t i = 0; i < length; ++i) {
          if (labels.at("data").at(sequence * length + i) == -100) continue;
          if (result.size++ == 0) result.begin = sequence * length + i;
        }
        return result;
      };
      const std::size_t sequences = golden.at("inputs").at("student").at("shape").at(0).get<std::size_t>();
      std::vector<double> gradient(student.data.size());
      double loss = 0;
      for (std::size_t b = 0; b < sequences; ++b) {
        const Span s = span("student_labels", b), t = span("teacher_labels", b);
        const std::size_t skip = params.value("skip_eos", 0) == 1 ? 1 : 0;
        const std::size_t size = std::min(s.size, t.size) - skip;
        UniversalLogit uld_loss{.temperature = params.value("T_student", 1.0),
                                .teacher_temperature = params.value("T_teacher", 1.0),
                                .reduction = Reduction::sum};
        if (is_mean) {
          uld_loss.weight = params.value("weight", 1.0) / static_cast<double>(sequences);
          uld_loss.reduction = Reduction::mean;
        }
        loss += uld_loss(Scores{student.data.data() + s.begin * student.cols, size, student.cols},
                         Scores{teacher.data.data() + t.begin * teacher.cols, size, teacher.cols},
                         Grad{gradient.data() + s.begin * student.cols, size, student.cols});
      }
      support::check_golden_loss(golden, loss);
      support::check_golden_gradient(golden, gradient);
    }
  };
  uld("uld.trl", true);
  uld("uld.dskd", false);
}

TEST_CASE("golden: every file has its row in docs/coming-from.md") {
  std::ifstream page(std::string(DISTILL_GOLDEN_DIR) + "/../../docs/coming-from.md");
  std::stringstream text;
  text << page.rdbuf();
  for (const auto& entry : std::filesystem::directory_iterator(DISTILL_GOLDEN_DIR)) {
    if (entry.path().extension() != ".json") continue;
    const std::string file = entry.path().stem().string();
    CAPTURE(file);
    CHECK(text.str().find("`" + file + "`") != std::string::npos);
  }
}
