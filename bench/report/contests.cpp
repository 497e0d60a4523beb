#include "contests.hpp"

#include <cstdlib>
#include <distill/attention/attention_transfer.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <distill/logits/log_softmax.hpp>
#include <distill/logits/softmax.hpp>
#include <limits.hpp>
#include <stdexcept>
#include <utility>

#include "allocations.hpp"
#include "ours.hpp"
#include "two_threads.hpp"

namespace report {
namespace {

const Shape vocabulary{512, 32000}, classifier{4096, 1024}, in_cache{128, 1024};

distill::KlDivergence kl_divergence(distill::Precision precision = distill::Precision::standard) {
  distill::KlDivergence kl;
  kl.temperature = temperature;
  kl.precision = precision;
  return kl;
}

/// The same, for something that the other contenders do not compute.
Contender alone(Contender contender) {
  contender.result = nullptr;
  return contender;
}

/// Value and gradient: student and teacher are read, the gradient is written.
Contest logit_contest(std::string group, std::string what, Shape shape) {
  return {
      std::move(group), std::move(what), shape.name(), shape.elements(), 3 * sizeof(float) * shape.elements(), 2, {}};
}

Contest kl_contest(Shape shape) {
  const auto batch = batch_of<float>(shape);
  Contest contest = logit_contest("KlDivergence", "KlDivergence", shape);
  contest.contenders = {ours("distill", batch, kl_divergence()),
                        ours("distill, high precision", batch, kl_divergence(distill::Precision::high))};
  Problem problem{"KlDivergence", {shape.rows, shape.cols}, batch->student.data(), batch->teacher.data()};
  problem.all_threads = shape.elements() >= classifier.elements();
  add_peers(contest, problem);
  return contest;
}

Contest large_kl_contest(Shape shape) {
  Contest contest = kl_contest(shape);
  contest.claims = {{"distill", limit, Bound::at_most, 2.0, 1.5},
                    {"LibTorch", "distill", Bound::at_least, 10, 15},
                    {"distill, high precision", "distill", Bound::at_most, 1.7, 1.35},
                    {"LibTorch", "distill, x86-64", Bound::at_least, 4, 4}};
  return contest;
}

Contest small_kl_contest() {
  Contest contest = kl_contest(in_cache);
  contest.claims = {{"distill", limit, Bound::at_most, 2.6, 1.8},
                    {"distill, high precision", "distill", Bound::at_most, 1.7, 1.35}};
  return contest;
}

Contest short_kl_contest(Shape shape) {
  Contest contest = kl_contest(shape);
  contest.claims = {{"Eigen by rows", "distill", Bound::at_least, 3, 5},
                    {"LibTorch", "distill", Bound::at_least, 5, 8}};
  return contest;
}

Contest bfloat16_contest() {
  const auto batch = batch_of<float>(vocabulary);
  const auto rounded = batch_of<distill::bfloat16>(vocabulary);
  Contest contest = logit_contest("One pass", "KlDivergence, bfloat16", vocabulary);
  contest.contenders = {ours("float", batch, kl_divergence()),
                        // its scores are rounded to 8 bits, so its probabilities differ by a few percent
                        ours("bfloat16", rounded, kl_divergence(), 5e-2)};
  contest.claims = {{"bfloat16", "float", Bound::at_most, 0.85, 0.65}};
  return contest;
}

Contest knowledge_distillation_contest() {
  const auto batch = batch_of<float>(vocabulary);
  distill::KnowledgeDistillation kd;
  kd.temperature = temperature;
  Contest contest = logit_contest("One pass", "KnowledgeDistillation", vocabulary);
  contest.exponentials = 3;
  contest.contenders = {
      alone(ours("KlDivergence alone", batch, kl_divergence())),
      {"distill", [=] { return kd(batch->s(), batch->t(), batch->labels, batch->g()); }, [=] { return batch->grad; }}};
  add_peers(contest, {"KnowledgeDistillation",
                      {vocabulary.rows, vocabulary.cols},
                      batch->student.data(),
                      batch->teacher.data(),
                      batch->labels.data()});
  contest.claims = {{"distill", "KlDivergence alone", Bound::at_most, 1.3, 1.15}};
  return contest;
}

template <class Function>
Contest softmax_contest(std::string what, Shape shape, const Function& function) {
  const auto batch = batch_of<float>(shape);
  Contest contest{"Softmax", std::move(what), shape.name(), shape.elements(), 2 * sizeof(float) * shape.elements(), 1,
                  {}};
  contest.contenders = {{"distill",
                         [=] {
                           function(batch->s(), batch->g());
                           return batch->grad[0];
                         },
                         [=] { return batch->grad; }}};
  add_peers(contest, {contest.what, {shape.rows, shape.cols}, batch->student.data(), nullptr});
  return contest;
}

PlannedContest softmax(Shape shape) {
  return {"softmax " + shape.name(), [=] {
            Contest contest = softmax_contest(
                "softmax", shape, [](auto logits, auto probabilities) { distill::softmax(logits, probabilities); });
            contest.claims = {{"oneDNN", "distill", Bound::at_least, 1.5, 1.8}};
            return contest;
          }};
}

PlannedContest log_softmax(Shape shape) {
  return {"log_softmax " + shape.name(), [=] {
            return softmax_contest("log_softmax", shape,
                                   [](auto logits, auto logarithms) { distill::log_softmax(logits, logarithms); });
          }};
}

Contest feature_matching_contest() {
  const Shape shape{16384, 1024};
  const auto batch = batch_of<float>(shape);
  Contest contest{
      "Hidden layers", "FeatureMatching", shape.name(), shape.elements(), 3 * sizeof(float) * shape.elements(), 0, {}};
  contest.contenders = {ours("distill", batch, distill::FeatureMatching{})};
  add_peers(contest, {"FeatureMatching", {shape.rows, shape.cols}, batch->student.data(), batch->teacher.data()});
  contest.claims = {{"distill", memory, Bound::at_most, 1.11, 1.05}};
  return contest;
}

/// For the maps in each row.
auto attention_transfer(std::size_t channels, std::size_t side) {
  return [=](auto student, auto teacher, auto grad) {
    const auto maps = [&](auto rows) { return distill::FeatureMapView{rows.data, rows.rows, channels, side, side}; };
    return distill::AttentionTransfer{}(maps(student), maps(teacher), maps(grad));
  };
}

Contest attention_transfer_contest() {
  const Shape shape{64, 256 * 28 * 28};
  const auto batch = batch_of<float>(shape);
  Contest contest{"Hidden layers",
                  "AttentionTransfer",
                  "64x256x28x28",
                  shape.elements(),
                  3 * sizeof(float) * shape.elements(),
                  0,
                  {}};
  contest.contenders = {ours("distill", batch, attention_transfer(256, 28))};
  add_peers(contest, {"AttentionTransfer", {64, 256, 28, 28}, batch->student.data(), batch->teacher.data()});
  contest.claims = {{"LibTorch", "distill", Bound::at_least, 5, 8}};
  return contest;
}

/// KL on one thread and on two, and the same for memory, which cores share.
Contest two_threads_contest(Shape shape) {
  const auto batch = batch_of<float>(shape);
  const auto threads = std::make_shared<TwoThreads>();
  Contest contest = logit_contest("Threads", "KlDivergence, threads", shape);
  contest.contenders = {
      ours("distill", batch, kl_divergence()),
      ours("distill, 2 threads", batch, [=](const auto& student, const auto& teacher, const auto& grad) {
        distill::RowOptions options;
        options.executor = *threads;
        return kl_divergence()(student, teacher, grad, options);
      })};
  const std::size_t blocks = 16, n = shape.elements() / blocks;
  const auto arrays = std::make_shared<std::vector<float>>(3 * shape.elements(), 1.0f);
  contest.contenders.push_back({"memory, 2 threads", [=] {
                                  float* const a = arrays->data();
                                  float* const b = a + blocks * n;
                                  float* const c = b + blocks * n;
                                  const auto block = [=](std::size_t k) {
                                    bench::triad(a + k * n, b + k * n, c + k * n, n);
                                  };
                                  (*threads)(blocks, block);
                                  return 0.0;
                                }});
  contest.claims = {{"distill", "distill, 2 threads"}, {memory, "memory, 2 threads"}};
  if (shape.elements() <= in_cache.elements())
    contest.claims = {{"distill", "distill, 2 threads", Bound::at_least, 1.7, 1.9}};
  return contest;
}

/// A file that includes one header and nothing else, compiled.
Contender compiled(std::string name, const std::string& header) {
  const std::string command =
      "printf '#include <" + header + ">\\n' | " DISTILL_REPORT_COMPILE " -O2 -x c++ -c -o /dev/null -";
  return {std::move(name), [command] {
            if (std::system(command.c_str()) != 0) throw std::runtime_error("this does not compile: " + command);
            return 0.0;
          }};
}

Contest compile_contest() {
  Contest contest;
  contest.group = "Compiling";
  contest.what = "Compiling";
  contest.contenders = {compiled("KlDivergence's header", "distill/logits/kl_divergence.hpp"),
                        compiled("xsimd's header", "xsimd/xsimd.hpp")};
  contest.claims = {{"KlDivergence's header", "xsimd's header", Bound::at_most, 1.4, 1.2}};
  contest.rounds = 5;
  return contest;
}

template <class Loss>
MemoryUse memory_use_of(std::string what, const Loss& loss) {
  distill::release_scratch();
  loss();
  const std::size_t before = allocations();
  loss();
  return {std::move(what), allocations() - before, distill::scratch_bytes()};
}

}  // namespace

std::vector<PlannedContest> claimed_contests() {
  std::vector<PlannedContest> plan;
  const auto add = [&](std::string what, Shape shape, Contest (*make)(Shape)) {
    plan.push_back({std::move(what) + ' ' + shape.name(), [=] { return make(shape); }});
  };
  add("KlDivergence", vocabulary, large_kl_contest);
  add("KlDivergence", classifier, large_kl_contest);
  plan.push_back({"KlDivergence " + in_cache.name(), small_kl_contest});
  add("KlDivergence", {65536, 10}, short_kl_contest);
  add("KlDivergence", {65536, 32}, short_kl_contest);
  plan.push_back({"KlDivergence, bfloat16 " + vocabulary.name(), bfloat16_contest});
  plan.push_back({"KnowledgeDistillation " + vocabulary.name(), knowledge_distillation_contest});
  for (const Shape& shape : {vocabulary, classifier}) plan.push_back(softmax(shape));
  for (const Shape& shape : {vocabulary, classifier}) plan.push_back(log_softmax(shape));
  plan.push_back({"FeatureMatching 16384x1024", feature_matching_contest});
  plan.push_back({"AttentionTransfer 64x256x28x28", attention_transfer_contest});
  if (std::thread::hardware_concurrency() > 1) {
    add("KlDivergence, threads", in_cache, two_threads_contest);
    add("KlDivergence, threads", classifier, two_threads_contest);
  }
  plan.push_back({"Compiling", compile_contest});
  return plan;
}

std::vector<MemoryUse> memory_use() {
  const Shape shape{64, 2 * 28 * 28};
  const auto batch = batch_of<float>(shape);
  distill::KnowledgeDistillation kd;
  kd.temperature = temperature;
  return {memory_use_of("KlDivergence", [&] { kl_divergence()(batch->s(), batch->t(), batch->g()); }),
          memory_use_of("KnowledgeDistillation", [&] { kd(batch->s(), batch->t(), batch->labels, batch->g()); }),
          memory_use_of("FeatureMatching", [&] { distill::FeatureMatching{}(batch->s(), batch->t(), batch->g()); }),
          memory_use_of("AttentionTransfer", [&] { attention_transfer(2, 28)(batch->s(), batch->t(), batch->g()); })};
}

}  // namespace report
