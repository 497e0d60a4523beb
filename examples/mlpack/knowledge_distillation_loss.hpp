// Knowledge distillation as an output layer of mlpack, which takes any class that has these three functions.
#pragma once

#include <armadillo>
#include <cstdint>
#include <distill/core/views.hpp>
#include <distill/logits/knowledge_distillation.hpp>

// A column of `target` has the teacher's logits and, below them, the label.
template <class MatType = arma::mat>
class KnowledgeDistillationLoss {
 public:
  explicit KnowledgeDistillationLoss(double temperature = 4, double alpha = 0.9) {
    kd_.temperature = temperature;
    kd_.alpha = alpha;
    kd_.reduction = distill::Reduction::sum;  // over a batch, as mlpack's optimisers expect it
  }

  typename MatType::elem_type Forward(const MatType& input, const MatType& target) {
    return static_cast<typename MatType::elem_type>(
        kd_(distill::samples_in_columns(input), teacher(target), labels(target)));
  }

  void Backward(const MatType& input, const MatType& target, MatType& loss) {
    loss.set_size(input.n_rows, input.n_cols);
    kd_(distill::samples_in_columns(input), teacher(target), labels(target), distill::samples_in_columns(loss));
  }

  template <class Archive>
  void serialize(Archive& archive, std::uint32_t) {
    archive(kd_.temperature, kd_.alpha);
  }

 private:
  static auto teacher(const MatType& target) {
    return distill::samples_in_columns(target.head_rows(target.n_rows - 1));
  }
  static arma::Row<arma::uword> labels(const MatType& target) {
    return arma::conv_to<arma::Row<arma::uword>>::from(target.tail_rows(1));
  }

  distill::KnowledgeDistillation kd_;
};
