#include <cmath>
#include <cstddef>
#include <distill/adapters/dlib.hpp>
#include <random>
#include <sstream>
#include <vector>

#include <doctest/doctest.h>

#include "support/outcome.hpp"

using distill::TeacherOutputs;

namespace {

constexpr long classes = 4;
constexpr std::size_t samples = 3;
using Image = dlib::matrix<float>;
using Input = dlib::input<Image>;
template <typename SUBNET>
using Hidden = dlib::htan<dlib::fc<5, SUBNET>>;  // smooth, for finite differences

using KdNet = distill::loss_knowledge_distillation<dlib::fc<classes, Hidden<Input>>>;
using FeatureNet =  // the student's 5 units are taken to the teacher's 7 beside the path to the output
    distill::loss_kd_feature_matching<
        dlib::tag2, dlib::fc<classes, dlib::skip1<dlib::tag2<dlib::fc<7, dlib::tag1<Hidden<Input>>>>>>>;
using AttentionNet =
    distill::loss_kd_attention_transfer<dlib::tag1,
                                        dlib::fc<classes, dlib::tag1<dlib::htan<dlib::con<2, 3, 3, 1, 1, Input>>>>>;

std::vector<float> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(engine() % 2001) / 1000 - 1;
  return numbers;
}

std::vector<Image> random_images() {
  std::vector<Image> images;
  for (std::size_t i = 0; i < samples; ++i) {
    Image image(4, 3);
    const std::vector<float> numbers = random_numbers(12, static_cast<unsigned>(i) + 1);
    std::copy(numbers.begin(), numbers.end(), image.begin());
    images.push_back(image);
  }
  return images;
}

std::vector<TeacherOutputs> random_targets(std::size_t hidden) {
  std::vector<TeacherOutputs> targets;
  for (unsigned i = 0; i < samples; ++i) {
    targets.push_back({static_cast<long>(i), random_numbers(classes, 10 + i), random_numbers(hidden, 20 + i)});
  }
  return targets;
}

/// The gradient of all parameters, by dlib's back-propagation, against finite differences of the loss.
template <class Net>
void check_gradient(Net& net, const std::vector<TeacherOutputs>& targets) {
  const std::vector<Image> images = random_images();
  dlib::resizable_tensor x;
  net.to_tensor(images.begin(), images.end(), x);
  net.compute_loss(x, targets.begin());  // makes the parameters
  int checked = 0;
  dlib::visit_layer_parameters(net, [&](std::size_t, dlib::tensor& parameters) {
    const std::vector<float> spread = random_numbers(parameters.size(), 30 + static_cast<unsigned>(checked));
    std::copy(spread.begin(), spread.end(), parameters.host());
    ++checked;
  });
  CHECK(checked >= 2);
  net.compute_parameter_gradients(x, targets.begin());
  std::vector<std::vector<float>> gradients;
  dlib::visit_layer_parameter_gradients(net, [&](std::size_t, const dlib::tensor& gradient) {
    gradients.emplace_back(gradient.begin(), gradient.end());
  });
  std::size_t layer = 0;
  dlib::visit_layer_parameters(net, [&](std::size_t, dlib::tensor& parameters) {
    const std::vector<float>& gradient = gradients[layer++];
    REQUIRE(gradient.size() == parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      constexpr float step = 0.01f;
      float& parameter = parameters.host()[i];
      const float at = parameter;
      parameter = at + step;
      const double above = net.compute_loss(x, targets.begin());
      parameters.host()[i] = at - step;
      const double below = net.compute_loss(x, targets.begin());
      parameters.host()[i] = at;
      const double slope = (above - below) / (2 * step);
      CHECK(std::abs(static_cast<double>(gradient[i]) - slope) <= 1e-3 * std::abs(slope) + 2e-4);
    }
  });
}

template <class Layer>
std::string stored(const Layer& layer) {
  std::ostringstream out;
  serialize(layer, out);
  return out.str();
}

/// What is stored and loaded stores the same again.
template <class Layer>
Layer round_trip(const Layer& layer) {
  const std::string bytes = stored(layer);
  CHECK(bytes != stored(Layer{}));
  std::istringstream in(bytes);
  Layer loaded;
  deserialize(loaded, in);
  CHECK(stored(loaded) == bytes);
  return loaded;
}

const distill::KnowledgeDistillation unusual{.temperature = 3,
                                             .alpha = 0.25,
                                             .weight = 0.5,
                                             .reduction = distill::Reduction::sum,
                                             .ignore_label = -7,
                                             .precision = distill::Precision::high,
                                             .logits = {.scale = 2, .soft_cap = 30}};

}  // namespace

TEST_CASE("knowledge distillation: the layer's loss is that of the logits, its gradient that of the loss") {
  KdNet net(distill::loss_knowledge_distillation_{{.temperature = 2, .alpha = 0.6}});
  const std::vector<TeacherOutputs> targets = random_targets(0);
  check_gradient(net, targets);

  dlib::resizable_tensor x;
  const std::vector<Image> images = random_images();
  net.to_tensor(images.begin(), images.end(), x);
  const double loss = net.compute_loss(x, targets.begin());
  const dlib::tensor& logits = net.subnet().get_output();
  std::vector<float> teacher;
  for (const TeacherOutputs& t : targets) teacher.insert(teacher.end(), t.logits.begin(), t.logits.end());
  CHECK(loss == net.loss_details().kd(distill::rows_of(logits), distill::MatrixView{teacher.data(), samples, classes},
                                      std::vector{0, 1, 2}));

  const std::vector<unsigned long> answers = net(images);
  for (long i = 0; i < 3; ++i) {
    CHECK(answers[static_cast<std::size_t>(i)] ==
          static_cast<unsigned long>(dlib::index_of_max(dlib::rowm(dlib::mat(logits), i))));
  }
}

TEST_CASE("feature matching of a tagged layer behind a linear one, and alone") {
  FeatureNet net;
  check_gradient(net, random_targets(7));
  net.loss_details().kd.weight = 0;
  std::vector<TeacherOutputs> targets = random_targets(7);
  for (TeacherOutputs& target : targets) target.logits.clear();
  net.loss_details().hidden.normalize = true;
  check_gradient(net, targets);
}

TEST_CASE("attention transfer of a tagged layer, from a teacher of other channels") {
  AttentionNet net;
  net.loss_details().hidden.weight = 10;
  check_gradient(net, random_targets(12 * 3));
}

TEST_CASE("an ignored label") {
  KdNet net;
  std::vector<TeacherOutputs> targets = random_targets(0);
  for (TeacherOutputs& target : targets) target.label = -100;
  dlib::resizable_tensor x;
  const std::vector<Image> images = random_images();
  net.to_tensor(images.begin(), images.end(), x);
  CHECK(net.compute_loss(x, targets.begin()) == 0);
}

TEST_CASE("targets that do not fit throw") {
  dlib::resizable_tensor x;
  const std::vector<Image> images = random_images();
  KdNet kd;
  kd.to_tensor(images.begin(), images.end(), x);
  std::vector<TeacherOutputs> targets = random_targets(0);
  targets[2].logits.pop_back();
  support::check_throws([&] { kd.compute_loss(x, targets.begin()); },
                        {"KnowledgeDistillation", "3 numbers for sample 2", "4 for sample 0"});
  for (TeacherOutputs& target : targets) target.logits.resize(3);
  support::check_throws([&] { kd.compute_loss(x, targets.begin()); }, {"KnowledgeDistillation", "teacher", "3"});
  AttentionNet attention;
  attention.to_tensor(images.begin(), images.end(), x);
  targets = random_targets(13);
  support::check_throws([&] { attention.compute_loss(x, targets.begin()); },
                        {"AttentionTransfer", "13 numbers", "12 positions"});
}

TEST_CASE("layers are stored and loaded with all their fields") {
  const auto kd = round_trip(distill::loss_knowledge_distillation_{unusual}).kd;
  CHECK(kd.temperature == 3);
  CHECK(kd.ignore_label == -7);
  CHECK(kd.reduction == distill::Reduction::sum);
  CHECK(kd.logits.soft_cap == 30);
  CHECK(std::isinf(round_trip(distill::loss_knowledge_distillation_{{.temperature = 1}}).kd.logits.soft_cap));

  const auto features =
      round_trip(distill::loss_kd_hidden_<distill::FeatureMatching, dlib::tag1>{
                     unusual, {.distance = distill::FeatureDistance::huber, .delta = 2, .normalize = true}})
          .hidden;
  CHECK(features.distance == distill::FeatureDistance::huber);
  CHECK(features.delta == 2);
  CHECK(features.normalize);
  const auto attention =
      round_trip(distill::loss_kd_hidden_<distill::AttentionTransfer, dlib::tag1>{{}, {.power = 3, .weight = 7}})
          .hidden;
  CHECK(attention.power == 3);
  CHECK(attention.weight == 7);

  std::istringstream other(stored(distill::loss_knowledge_distillation_{}));
  distill::loss_kd_hidden_<distill::FeatureMatching, dlib::tag1> wrong;
  CHECK_THROWS_AS(deserialize(wrong, other), dlib::serialization_error);
}

TEST_CASE("a network is stored, loaded and printed with its loss layer") {
  KdNet net(distill::loss_knowledge_distillation_{unusual});
  const std::vector<Image> images = random_images();
  const std::vector<unsigned long> answers = net(images);
  std::stringstream file;
  serialize(net, file);
  KdNet loaded;
  deserialize(loaded, file);
  CHECK(loaded(images) == answers);
  CHECK(loaded.loss_details().kd.temperature == 3);

  std::ostringstream text;
  text << net;
  CHECK(text.str().find("loss_knowledge_distillation (temperature=3, alpha=0.25)") != std::string::npos);
  std::ostringstream xml;
  dlib::net_to_xml(net, xml);
  CHECK(xml.str().find("<loss_knowledge_distillation temperature='3' alpha='0.25'/>") != std::string::npos);
}

TEST_CASE("docs/adapters/dlib.md: a student in dlib's trainer") {
  const std::vector<Image> images = random_images();
  // clang-format off
  using Student = distill::loss_knowledge_distillation<dlib::fc<10, dlib::relu<dlib::fc<32, dlib::input<Image>>>>>;
  Student net(distill::loss_knowledge_distillation_{{.temperature = 8, .alpha = 0.9}});

  std::vector<distill::TeacherOutputs> targets;             // one a sample: {label, the teacher's logits, hidden}
  // clang-format on
  for (long i = 0; i < 3; ++i) {
    std::vector<float> logits(10);
    logits[static_cast<std::size_t>(i)] = 4;
    targets.push_back({i, logits, {}});
  }

  dlib::dnn_trainer<Student, dlib::adam> trainer(net);
  trainer.set_max_num_epochs(200);

  // clang-format off
  trainer.train(images, targets);
  std::vector<unsigned long> answers = net(images);         // classes, as of any classifier
  // clang-format on
  CHECK(answers == std::vector<unsigned long>{0, 1, 2});
}
