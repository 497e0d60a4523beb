// dlib's networks and its dnn_trainer, with a student whose loss layer is distill's.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <distill/adapters/dlib.hpp>
#include <memory>
#include <stdexcept>
#include <vector>

#include "few_labels.hpp"
#include "random.hpp"

namespace {

using Image = dlib::matrix<float>;
template <long hidden>
using Mlp = dlib::fc<10, dlib::relu<dlib::fc<hidden, dlib::input<Image>>>>;
using Teacher = dlib::loss_multiclass_log<Mlp<few_labels::teacher_hidden>>;
using StudentOfLabels = dlib::loss_multiclass_log<Mlp<few_labels::student_hidden>>;
using StudentOfTeacher = distill::loss_knowledge_distillation<Mlp<few_labels::student_hidden>>;

std::vector<Image> images_of(const mlp::Matrix& inputs) {
  std::vector<Image> images;
  for (Eigen::Index i = 0; i < inputs.rows(); ++i) {
    Image image(inputs.cols(), 1);
    std::copy(inputs.row(i).begin(), inputs.row(i).end(), image.begin());
    images.push_back(image);
  }
  return images;
}

std::vector<unsigned long> labels_of(const few_labels::Task& task) {
  return {task.samples.labels.begin(), task.samples.labels.end()};
}

std::vector<distill::TeacherOutputs> teacher_of(const few_labels::Task& task) {
  std::vector<distill::TeacherOutputs> outputs;
  for (int i = 0; i < task.samples.size(); ++i) {
    const auto logits = task.teacher.row(i);
    outputs.push_back({task.samples.labels[static_cast<std::size_t>(i)], {logits.begin(), logits.end()}, {}});
  }
  return outputs;
}

template <class Net, class Label>
few_labels::Network train_net(const few_labels::Task& task, const std::vector<Label>& labels, Net net = Net()) {
  const std::vector<Image> images = images_of(task.samples.inputs);
  std::srand(task.seed);  // dlib draws initial weights from it
  mlp::Random random(task.seed, mlp::Purpose::student);
  dlib::dnn_trainer<Net, dlib::adam> trainer(net, dlib::adam(0, 0.9f, 0.999f));
  trainer.set_learning_rate(few_labels::learning_rate);
  trainer.set_learning_rate_shrink_factor(1);

  std::vector<int> order = mlp::iota(task.samples.size());
  for (int epoch = 0; epoch < task.epochs; ++epoch) {
    random.shuffle(order);
    for (std::size_t begin = 0; begin < order.size(); begin += few_labels::batch_size) {
      std::vector<Image> batch;
      std::vector<Label> batch_labels;
      for (std::size_t i = begin; i < std::min(begin + few_labels::batch_size, order.size()); ++i) {
        batch.push_back(images[static_cast<std::size_t>(order[i])]);
        batch_labels.push_back(labels[static_cast<std::size_t>(order[i])]);
      }
      trainer.train_one_step(batch, batch_labels);
    }
  }
  trainer.get_net();  // waits for the last step

  const auto trained = std::make_shared<Net>(net);
  return [trained](const mlp::Matrix& inputs) -> mlp::Matrix {
    const std::vector<Image> of_inputs = images_of(inputs);
    dlib::resizable_tensor x;
    trained->to_tensor(of_inputs.begin(), of_inputs.end(), x);
    const dlib::tensor& logits = trained->subnet().forward(x);
    return Eigen::Map<const mlp::Matrix>(logits.host(), logits.num_samples(), logits.k());
  };
}

few_labels::Network train(const few_labels::Task& task) {
  if (task.classes != 10)
    throw std::runtime_error("these networks have 10 outputs, the data another number of classes");
  if (task.has_teacher()) {
    const distill::KnowledgeDistillation kd{.temperature = few_labels::temperature, .alpha = few_labels::alpha};
    return train_net(task, teacher_of(task), StudentOfTeacher(distill::loss_knowledge_distillation_{kd}));
  }
  return task.hidden == few_labels::student_hidden ? train_net<StudentOfLabels>(task, labels_of(task))
                                                   : train_net<Teacher>(task, labels_of(task));
}

}  // namespace

int main(int argc, char** argv) {
  return few_labels::run(argc, argv, train);
}
