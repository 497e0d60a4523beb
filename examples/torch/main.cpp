// A LibTorch trainer whose students learn from a teacher through distill: by the adapter, and without it.
#include <torch/torch.h>

#include <cstdint>
#include <distill/adapters/torch.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <vector>

#include "few_labels.hpp"

namespace {

using torch::Tensor;

struct MlpImpl : torch::nn::Module {
  MlpImpl(std::int64_t pixels, std::int64_t units, std::int64_t classes)
      : hidden(register_module("hidden", torch::nn::Linear(pixels, units))),
        output(register_module("output", torch::nn::Linear(units, classes))) {}

  Tensor forward(const Tensor& images) { return output(torch::relu(hidden(images))); }

  torch::nn::Linear hidden, output;
};
TORCH_MODULE(Mlp);

// What a student learns from: logits [batch, classes] of both, labels [batch]. Leaves gradients in its parameters.
using Backward = void (*)(const Tensor& student, const Tensor& teacher, const Tensor& labels);

const distill::KnowledgeDistillation kd{.temperature = few_labels::temperature, .alpha = few_labels::alpha};

void backward_of_labels(const Tensor& student, const Tensor&, const Tensor& labels) {
  torch::nn::functional::cross_entropy(student, labels).backward();
}

// With the adapter a loss is a tensor, as LibTorch's own losses are.
void backward_by_adapter(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  distill::libtorch::apply(kd, student, teacher, labels).backward();
}

// Without it: distill writes the gradient of the logits, and autograd takes it from there.
void backward_by_pointers(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  const auto view = [](const Tensor& x) { return distill::MatrixView{x.data_ptr<float>(), x.size(0), x.size(1)}; };
  const Tensor gradient = torch::empty_like(student);
  kd(view(student), view(teacher), distill::LabelsView{labels.data_ptr<std::int64_t>(), labels.size(0)},
     view(gradient));
  student.backward(gradient);
}

Tensor to_tensor(const mlp::Matrix& rows) {
  return torch::from_blob(const_cast<float*>(rows.data()), {rows.rows(), rows.cols()}).clone();
}

few_labels::Network train(const few_labels::Task& task, Backward backward) {
  torch::set_num_threads(1);  // the networks are too small for more
  torch::manual_seed(task.seed);
  const Tensor images = to_tensor(task.samples.inputs), labels = torch::tensor(task.samples.labels, torch::kLong);
  const Tensor teacher = task.has_teacher() ? to_tensor(task.teacher) : Tensor();

  Mlp net(images.size(1), task.hidden, task.classes);
  torch::optim::Adam optimizer(net->parameters(), few_labels::learning_rate);
  for (int epoch = 0; epoch < task.epochs; ++epoch) {
    for (const Tensor& batch : torch::randperm(images.size(0)).split(few_labels::batch_size)) {
      const Tensor logits = net(images.index({batch}));
      optimizer.zero_grad();
      backward(logits, task.has_teacher() ? teacher.index({batch}) : teacher, labels.index({batch}));
      optimizer.step();
    }
  }

  return [net](const mlp::Matrix& inputs) mutable -> mlp::Matrix {
    const torch::NoGradGuard no_gradient;
    const Tensor logits = net(to_tensor(inputs));
    return Eigen::Map<const mlp::Matrix>(logits.data_ptr<float>(), logits.size(0), logits.size(1));
  };
}

few_labels::Network train_by_adapter(const few_labels::Task& task) {
  return train(task, task.has_teacher() ? backward_by_adapter : backward_of_labels);
}
few_labels::Network train_by_pointers(const few_labels::Task& task) {
  return train(task, backward_by_pointers);
}

}  // namespace

int main(int argc, char** argv) {
  return few_labels::run(argc, argv, train_by_adapter, {{"KD by logits.backward()", train_by_pointers}});
}
