// mlpack's networks and optimisers, with a student whose output layer is distill's. Adam's steps should not depend on
// the batch size: without this, ensmallen from 3.10 on divides them by it.
#define ENS_OLD_SEPARABLE_STEP_BEHAVIOR
#include <mlpack/core.hpp>
#include <mlpack/methods/ann.hpp>

#include <memory>

#include "few_labels.hpp"
#include "knowledge_distillation_loss.hpp"

namespace {

using few_labels::alpha, few_labels::temperature;

// Rows of the digits' matrices are mlpack's columns: the same memory.
arma::mat to_columns(const mlp::Matrix& rows) {
  const auto size = [](Eigen::Index n) { return static_cast<arma::uword>(n); };
  const arma::fmat view(const_cast<float*>(rows.data()), size(rows.cols()), size(rows.rows()), false, true);
  return arma::conv_to<arma::mat>::from(view);
}

template <class Net>
void add_layers(Net& net, const few_labels::Task& task) {
  net.template Add<mlpack::Linear>(task.hidden);
  net.template Add<mlpack::ReLU>();
  net.template Add<mlpack::Linear>(task.classes);
}

template <class Net>
few_labels::Network network(const Net& net) {
  const auto trained = std::make_shared<Net>(net);
  return [trained](const mlp::Matrix& inputs) -> mlp::Matrix {
    arma::mat logits;
    trained->Predict(to_columns(inputs), logits);
    const auto rows = static_cast<Eigen::Index>(logits.n_cols), cols = static_cast<Eigen::Index>(logits.n_rows);
    return Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>>(logits.memptr(), rows, cols).cast<float>();
  };
}

few_labels::Network train(const few_labels::Task& task) {
  mlpack::RandomSeed(task.seed);
  const arma::mat images = to_columns(task.samples.inputs);
  const arma::rowvec labels = arma::conv_to<arma::rowvec>::from(task.samples.labels);
  ens::Adam optimizer(few_labels::learning_rate, few_labels::batch_size, 0.9, 0.999, 1e-8,
                      images.n_cols * static_cast<std::size_t>(task.epochs), /*tolerance=*/-1);
  if (!task.has_teacher()) {
    mlpack::FFN<mlpack::NegativeLogLikelihood, mlpack::GlorotInitialization> net;
    add_layers(net, task);
    net.Add<mlpack::LogSoftMax>();
    net.Train(images, labels, optimizer);
    return network(net);
  }

  const arma::mat teacher_logits = to_columns(task.teacher);
  using Loss = KnowledgeDistillationLoss<>;
  mlpack::FFN<Loss, mlpack::GlorotInitialization> student(Loss(temperature, alpha));
  add_layers(student, task);
  student.Train(images, arma::join_cols(teacher_logits, labels), optimizer);
  return network(student);
}

}  // namespace

int main(int argc, char** argv) {
  return few_labels::run(argc, argv, train);
}
