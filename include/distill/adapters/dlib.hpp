// Loss layers for dlib's networks: knowledge distillation, alone or with a hidden layer. Needs dlib.
#pragma once

#include <dlib/dnn.h>

#include <cstddef>
#include <istream>
#include <ostream>
#include <string>
#include <type_traits>
#include <vector>

#include <distill/attention/attention_transfer.hpp>
#include <distill/core/error.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/logits/knowledge_distillation.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// A dlib tensor as a matrix, one sample per row. On a GPU dlib copies it to the host and back.
inline MatrixView<const float> rows_of(const ::dlib::tensor& t) {
  return {t.host(), t.num_samples(), t.k() * t.nr() * t.nc()};
}
inline MatrixView<float> rows_of(::dlib::tensor& t) {
  return {t.host(), t.num_samples(), t.k() * t.nr() * t.nc()};
}

/// A dlib tensor as feature maps.
inline FeatureMapView<const float> maps_of(const ::dlib::tensor& t) {
  return {t.host(), t.num_samples(), t.k(), t.nr(), t.nc()};
}
inline FeatureMapView<float> maps_of(::dlib::tensor& t) {
  return {t.host(), t.num_samples(), t.k(), t.nr(), t.nc()};
}

/// What a student learns from one sample: its class, and the teacher's outputs for it.
struct TeacherOutputs {
  long label = 0;             ///< or KnowledgeDistillation's ignore_label
  std::vector<float> logits;  ///< the teacher's scores of the classes
  std::vector<float> hidden;  ///< a hidden layer of the teacher, channel by channel; for layers that compare it
};

namespace detail {

/// One field of a batch's targets, as rows.
template <class Iterator>
std::vector<float> teacher_rows(const char* who, Iterator truth, std::size_t samples,
                                std::vector<float> TeacherOutputs::*field) {
  std::vector<float> rows;
  const std::size_t cols = ((*truth).*field).size();
  rows.reserve(samples * cols);
  for (std::size_t i = 0; i < samples; ++i, ++truth) {
    const std::vector<float>& row = (*truth).*field;
    if (row.size() != cols) {
      fail(who, "teacher has ", row.size(), " numbers for sample ", i, " of the batch, ", cols, " for sample 0");
    }
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

/// The distillation of a network's output: value, and gradient added to `grad`.
template <class Iterator>
double distill_output(const KnowledgeDistillation& loss, Iterator truth, const ::dlib::tensor& output,
                      ::dlib::tensor& grad) {
  const auto student = rows_of(output);
  const auto teacher = teacher_rows("KnowledgeDistillation", truth, student.rows, &TeacherOutputs::logits);
  std::vector<long> labels(student.rows);
  for (long& label : labels) label = (*truth++).label;
  return loss(student, MatrixView{teacher.data(), student.rows, teacher.size() / student.rows}, labels,
              add_to(rows_of(grad)));
}

template <class Iterator>
double distill_hidden(const FeatureMatching& loss, Iterator truth, const ::dlib::tensor& output, ::dlib::tensor& grad) {
  const auto student = rows_of(output);
  const auto teacher = teacher_rows("FeatureMatching", truth, student.rows, &TeacherOutputs::hidden);
  return loss(student, MatrixView{teacher.data(), student.rows, teacher.size() / student.rows}, add_to(rows_of(grad)));
}

/// The teacher's maps have as many positions as the student's; the number of channels follows.
template <class Iterator>
double distill_hidden(const AttentionTransfer& loss, Iterator truth, const ::dlib::tensor& output,
                      ::dlib::tensor& grad) {
  constexpr const char* who = "AttentionTransfer";
  const auto student = maps_of(output);
  const auto teacher = teacher_rows(who, truth, student.batch, &TeacherOutputs::hidden);
  const std::size_t size = teacher.size() / student.batch;
  if (size % student.positions() != 0) {
    fail(who, "teacher has ", size, " numbers a sample, expected a multiple of the student's ", student.positions(),
         " positions");
  }
  return loss(student,
              FeatureMapView{teacher.data(), student.batch, size / student.positions(), student.height, student.width},
              add_to(maps_of(grad)));
}

// The fields of a loss, in the order in which they are stored.
template <class Visitor>
void each_field(KnowledgeDistillation& loss, const Visitor& visit) {
  visit(loss.temperature), visit(loss.alpha), visit(loss.weight), visit(loss.reduction), visit(loss.ignore_label);
  visit(loss.precision), visit(loss.logits.scale), visit(loss.logits.soft_cap), visit(loss.logits.standardize);
  visit(loss.logits.epsilon);
}
template <class Visitor>
void each_field(FeatureMatching& loss, const Visitor& visit) {
  visit(loss.distance), visit(loss.delta), visit(loss.normalize), visit(loss.weight), visit(loss.reduction);
}
template <class Visitor>
void each_field(AttentionTransfer& loss, const Visitor& visit) {
  visit(loss.power), visit(loss.distance), visit(loss.weight), visit(loss.reduction);
}

template <class Loss>
void store_fields(Loss loss, std::ostream& out) {
  each_field(loss, [&](const auto& field) {
    if constexpr (std::is_enum_v<std::decay_t<decltype(field)>>) {
      ::dlib::serialize(static_cast<int>(field), out);
    } else {
      ::dlib::serialize(field, out);
    }
  });
}

template <class Loss>
void load_fields(Loss& loss, std::istream& in) {
  each_field(loss, [&](auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (std::is_enum_v<Field>) {
      int number = 0;
      ::dlib::deserialize(number, in);
      field = static_cast<Field>(number);
    } else {
      ::dlib::deserialize(field, in);
    }
  });
}

inline void require_version(const std::string& expected, std::istream& in) {
  std::string version;
  ::dlib::deserialize(version, in);
  if (version != expected) {
    throw ::dlib::serialization_error("Unexpected version '" + version + "' found while deserializing distill's " +
                                      expected);
  }
}

template <class Sub, class Iterator>
void classes_of(const ::dlib::tensor& input, const Sub& sub, Iterator iter) {
  DLIB_CASSERT(sub.sample_expansion_factor() == 1);
  const ::dlib::tensor& output = sub.get_output();
  DLIB_CASSERT(input.num_samples() == output.num_samples());
  for (long i = 0; i < output.num_samples(); ++i, ++iter) {
    *iter = static_cast<unsigned long>(::dlib::index_of_max(::dlib::rowm(::dlib::mat(output), i)));
  }
}

template <class Hidden>
constexpr const char* hidden_name = "";
template <>
inline constexpr const char* hidden_name<FeatureMatching> = "loss_kd_feature_matching";
template <>
inline constexpr const char* hidden_name<AttentionTransfer> = "loss_kd_attention_transfer";

}  // namespace detail

/// KnowledgeDistillation as a loss layer of dlib (EXAMPLE_LOSS_LAYER_ in its documentation).
///
/// Shapes      the network's output: any tensor with as many numbers per sample as the teacher has logits
/// Labels      for training, TeacherOutputs; the network answers with the class of the largest logit
/// Returns     loss and gradient as KnowledgeDistillation, over the mini-batch
/// Throws      std::invalid_argument as KnowledgeDistillation; and if the samples of a batch differ in their number of
///             logits
/// Cost        that of the loss; copies the batch's logits
struct loss_knowledge_distillation_ {
  using training_label_type = TeacherOutputs;
  using output_label_type = unsigned long;

  KnowledgeDistillation kd = {};

  template <typename SUB_TYPE, typename label_iterator>
  void to_label(const ::dlib::tensor& input, const SUB_TYPE& sub, label_iterator iter) const {
    detail::classes_of(input, sub, iter);
  }

  template <typename const_label_iterator, typename SUBNET>
  double compute_loss_value_and_gradient(const ::dlib::tensor&, const_label_iterator truth, SUBNET& sub) const {
    DLIB_CASSERT(sub.sample_expansion_factor() == 1);
    return detail::distill_output(kd, truth, sub.get_output(), sub.get_gradient_input());
  }

  friend void serialize(const loss_knowledge_distillation_& item, std::ostream& out) {
    ::dlib::serialize(std::string("distill_loss_knowledge_distillation_"), out);
    detail::store_fields(item.kd, out);
  }
  friend void deserialize(loss_knowledge_distillation_& item, std::istream& in) {
    detail::require_version("distill_loss_knowledge_distillation_", in);
    detail::load_fields(item.kd, in);
  }
  friend std::ostream& operator<<(std::ostream& out, const loss_knowledge_distillation_& item) {
    return out << "loss_knowledge_distillation (temperature=" << item.kd.temperature << ", alpha=" << item.kd.alpha
               << ")";
  }
  friend void to_xml(const loss_knowledge_distillation_& item, std::ostream& out) {
    out << "<loss_knowledge_distillation temperature='" << item.kd.temperature << "' alpha='" << item.kd.alpha
        << "'/>\n";
  }
};

/// KnowledgeDistillation of the output plus a loss on the layer that is tagged by TAG: FeatureMatching, whose teacher
/// has as many numbers per sample as that layer, or AttentionTransfer, whose teacher has maps of the same height and
/// width.
///
/// Labels      for training, TeacherOutputs with `hidden`; the network answers with the class of the largest logit
/// Returns     kd + hidden, over the mini-batch; kd.weight = 0 ignores the output, and needs no logits
/// Throws      std::invalid_argument as the two losses; and if the samples of a batch differ in their number of logits
///             or of hidden units
/// Conventions a tag above a ReLU sees its output, one below its input. If a layer's width differs from the teacher's,
///             add a linear layer, which is trained too: tag it, and skip past it (skip1<tag2<fc<teacher's width,
///             tag1<...>>>>, TAG = tag2)
template <class Hidden, template <typename> class TAG>
struct loss_kd_hidden_ {
  using training_label_type = TeacherOutputs;
  using output_label_type = unsigned long;

  KnowledgeDistillation kd = {};
  Hidden hidden = {};

  template <typename SUB_TYPE, typename label_iterator>
  void to_label(const ::dlib::tensor& input, const SUB_TYPE& sub, label_iterator iter) const {
    detail::classes_of(input, sub, iter);
  }

  template <typename const_label_iterator, typename SUBNET>
  double compute_loss_value_and_gradient(const ::dlib::tensor&, const_label_iterator truth, SUBNET& sub) const {
    DLIB_CASSERT(sub.sample_expansion_factor() == 1);
    auto&& tagged = ::dlib::layer<TAG>(sub);
    const double of_hidden = detail::distill_hidden(hidden, truth, tagged.get_output(), tagged.get_gradient_input());
    if (kd.weight == 0) return of_hidden;
    return of_hidden + detail::distill_output(kd, truth, sub.get_output(), sub.get_gradient_input());
  }

  friend void serialize(const loss_kd_hidden_& item, std::ostream& out) {
    ::dlib::serialize(version(), out);
    detail::store_fields(item.kd, out);
    detail::store_fields(item.hidden, out);
  }
  friend void deserialize(loss_kd_hidden_& item, std::istream& in) {
    detail::require_version(version(), in);
    detail::load_fields(item.kd, in);
    detail::load_fields(item.hidden, in);
  }
  friend std::ostream& operator<<(std::ostream& out, const loss_kd_hidden_& item) {
    return out << detail::hidden_name<Hidden> << " (temperature=" << item.kd.temperature << ", alpha=" << item.kd.alpha
               << ", hidden weight=" << item.hidden.weight << ")";
  }
  friend void to_xml(const loss_kd_hidden_& item, std::ostream& out) {
    out << "<" << detail::hidden_name<Hidden> << " temperature='" << item.kd.temperature << "' alpha='" << item.kd.alpha
        << "' hidden_weight='" << item.hidden.weight << "'/>\n";
  }

 private:
  static std::string version() { return std::string("distill_") + detail::hidden_name<Hidden> + "_"; }
};

template <typename SUBNET>
using loss_knowledge_distillation = ::dlib::add_loss_layer<loss_knowledge_distillation_, SUBNET>;
template <template <typename> class TAG, typename SUBNET>
using loss_kd_feature_matching = ::dlib::add_loss_layer<loss_kd_hidden_<FeatureMatching, TAG>, SUBNET>;
template <template <typename> class TAG, typename SUBNET>
using loss_kd_attention_transfer = ::dlib::add_loss_layer<loss_kd_hidden_<AttentionTransfer, TAG>, SUBNET>;

}  // namespace DISTILL_ABI
}  // namespace distill
