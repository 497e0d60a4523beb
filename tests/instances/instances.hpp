// What the tests of losses call, compiled once and as users compile it: here the losses' own functions are declared for
// the types that tests use, and *.cpp in this folder define them, optimised. A test file only asks and compares, so it
// is compiled without optimisation, in a few seconds, and still tests optimised code: `ctest -L instances` makes sure.
//
// A new loss is a line in one of the lists. A list makes `which template` of each function: a declaration if `which` is
// extern, a definition if it is empty. Explicit instances may name what is private.
#pragma once

#include <cstdint>
#include <distill/attention/attention_matrix.hpp>
#include <distill/attention/attention_transfer.hpp>
#include <distill/attention/value_relation.hpp>
#include <distill/distill.hpp>
#include <distill/features/neuron_selectivity.hpp>
#include <distill/features/projected.hpp>
#include <distill/relations/channel_gram.hpp>
#include <distill/relations/contrastive.hpp>
#include <distill/relations/correlation_congruence.hpp>
#include <distill/relations/linear_cka.hpp>
#include <distill/relations/probabilistic_transfer.hpp>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <distill/relations/similarity_preserving.hpp>

namespace support {
template <class... Stored>
using LanesOf = distill::kernels::Lanes<distill::detail::compute_t<Stored...>, distill::kernels::DefaultArch>;
}

// ------------------------------------------------------------------------------------------------------ class scores

#define DISTILL_TEACHER(which, Loss, S, T) \
  which template double distill::Loss::compute(const detail::TeacherCall<S, T, S>&, const RowOptions&) const;
#define DISTILL_LABELLED(which, Loss, S, T, Label)                                                                   \
  which template double distill::Loss::compute(const detail::TeacherCall<S, T, S>&, const detail::RowLabels<Label>&, \
                                               const RowOptions&) const;
#define DISTILL_LABELS(which, Loss, S, Label)                                                               \
  which template double distill::Loss::compute(const MatrixView<const S>&, const detail::RowLabels<Label>&, \
                                               const GradientTarget<MatrixView<S>>&, const RowOptions&) const;
#define DISTILL_TERM(which, Loss, Term, S)                                                            \
  which template double distill::detail::reduce_divergence(const Loss&, const kernels::Term&, double, \
                                                           const TeacherCall<S, S, S>&, const RowOptions&);
#define DISTILL_SPARSE(which, Loss, Term, S, Index, T)                       \
  which template double distill::detail::reduce_top_k(                       \
      const Loss&, const kernels::Term&, double, const MatrixView<const S>&, \
      const SparseTeacherView<const Index, const T>&, const GradientTarget<MatrixView<S>>&, const RowOptions&);
#define DISTILL_SAMPLED(which, Loss, S, P)                                                                \
  which template double distill::Loss::compute(const MatrixView<const S>&, const detail::RowLabels<int>&, \
                                               const SampledTokensView<int, const P>&,                    \
                                               const GradientTarget<MatrixView<S>>&, const RowOptions&) const;
#define DISTILL_SORTED(which, Loss, S)                                                                 \
  which template double distill::Loss::compute(const MatrixView<const S>&, const ScoresView<const S>&, \
                                               const GradientTarget<MatrixView<S>>&, const RowOptions&) const;
#define DISTILL_ROW(which, row, In, Out) \
  which template void distill::kernels::row<support::LanesOf<In, Out>>(const In*, std::size_t, double, Out*);
#define DISTILL_BACKWARD_ROW(which, row, X, G) \
  which template void distill::kernels::row<support::LanesOf<X, G>>(const X*, const G*, std::size_t, double, const GradientRow<X>&);

#define DISTILL_TEACHER_LOSS(which, Loss)      \
  DISTILL_TEACHER(which, Loss, float, float)   \
  DISTILL_TEACHER(which, Loss, double, double) \
  DISTILL_TEACHER(which, Loss, half, half)     \
  DISTILL_TEACHER(which, Loss, bfloat16, bfloat16)
#define DISTILL_LABELLED_LOSS(which, Loss)               \
  DISTILL_LABELLED(which, Loss, float, float, int)       \
  DISTILL_LABELLED(which, Loss, double, double, int)     \
  DISTILL_LABELLED(which, Loss, half, half, int)         \
  DISTILL_LABELLED(which, Loss, bfloat16, bfloat16, int) \
  DISTILL_LABELLED(which, Loss, double, double, std::int64_t)
#define DISTILL_DIVERGENCE(which, Loss, Term) \
  DISTILL_TERM(which, Loss, Term, float)      \
  DISTILL_TERM(which, Loss, Term, double)     \
  DISTILL_TERM(which, Loss, Term, half)       \
  DISTILL_TERM(which, Loss, Term, bfloat16)
#define DISTILL_TOP_K(which, Loss, Term)                   \
  DISTILL_SPARSE(which, Loss, Term, float, int, float)     \
  DISTILL_SPARSE(which, Loss, Term, float, int, double)    \
  DISTILL_SPARSE(which, Loss, Term, double, int, double)   \
  DISTILL_SPARSE(which, Loss, Term, half, int, double)     \
  DISTILL_SPARSE(which, Loss, Term, bfloat16, int, double) \
  DISTILL_SPARSE(which, Loss, Term, double, std::int64_t, double)

// The pairs of types are DISTILL_TEST_TYPE_PAIRS of support/loss_check.hpp.
#define DISTILL_KL_DIVERGENCE(which)                   \
  DISTILL_TEACHER_LOSS(which, KlDivergence)            \
  DISTILL_TEACHER(which, KlDivergence, float, double)  \
  DISTILL_TEACHER(which, KlDivergence, double, half)   \
  DISTILL_TEACHER(which, KlDivergence, half, bfloat16) \
  DISTILL_TEACHER(which, KlDivergence, bfloat16, float)

#define DISTILL_KNOWLEDGE_DISTILLATION(which)                                 \
  DISTILL_LABELLED_LOSS(which, KnowledgeDistillation)                         \
  DISTILL_LABELLED(which, KnowledgeDistillation, float, double, int)          \
  DISTILL_LABELLED(which, KnowledgeDistillation, double, half, int)           \
  DISTILL_LABELLED(which, KnowledgeDistillation, half, bfloat16, int)         \
  DISTILL_LABELLED(which, KnowledgeDistillation, bfloat16, float, int)

#define DISTILL_LABELS_ALONE(which)                             \
  DISTILL_LABELS(which, CrossEntropy, float, int)               \
  DISTILL_LABELS(which, CrossEntropy, double, int)              \
  DISTILL_LABELS(which, CrossEntropy, half, int)                \
  DISTILL_LABELS(which, CrossEntropy, bfloat16, int)            \
  DISTILL_LABELS(which, CrossEntropy, float, std::int8_t)       \
  DISTILL_LABELS(which, CrossEntropy, float, std::uint64_t)     \
  DISTILL_LABELS(which, CrossEntropy, float, std::int64_t)      \
  DISTILL_LABELS(which, CrossEntropy, double, std::int64_t)     \
  DISTILL_LABELS(which, CrossEntropy, float, std::uint8_t)      \
  DISTILL_SAMPLED(which, SampledTokenReverseKl, float, float)   \
  DISTILL_SAMPLED(which, SampledTokenReverseKl, float, double)  \
  DISTILL_SAMPLED(which, SampledTokenReverseKl, double, double) \
  DISTILL_SAMPLED(which, SampledTokenReverseKl, half, double)   \
  DISTILL_SAMPLED(which, SampledTokenReverseKl, bfloat16, double)

#define DISTILL_DIVERGENCES(which)                              \
  DISTILL_DIVERGENCE(which, KlDivergence, ForwardKlTerm)        \
  DISTILL_DIVERGENCE(which, ReverseKl, ReverseKlTerm)           \
  DISTILL_DIVERGENCE(which, SymmetricKl, ForwardKlTerm)         \
  DISTILL_DIVERGENCE(which, SymmetricKl, ReverseKlTerm)         \
  DISTILL_DIVERGENCE(which, SymmetricKl, SymmetricKlTerm)       \
  DISTILL_DIVERGENCE(which, TotalVariation, TotalVariationTerm) \
  DISTILL_DIVERGENCE(which, AlphaDivergence, AlphaTerm)

#define DISTILL_MIXTURES(which)                               \
  DISTILL_DIVERGENCE(which, JensenShannon, ForwardKlTerm)     \
  DISTILL_DIVERGENCE(which, JensenShannon, ReverseKlTerm)     \
  DISTILL_DIVERGENCE(which, JensenShannon, JensenShannonTerm) \
  DISTILL_DIVERGENCE(which, SkewedKl, ForwardKlTerm)          \
  DISTILL_DIVERGENCE(which, SkewedKl, SkewedKlTerm)           \
  DISTILL_DIVERGENCE(which, SkewedReverseKl, ReverseKlTerm)   \
  DISTILL_DIVERGENCE(which, SkewedReverseKl, SkewedReverseKlTerm)

#define DISTILL_OTHER_SCORES(which)               \
  DISTILL_TEACHER_LOSS(which, AdaptiveKl)         \
  DISTILL_LABELLED_LOSS(which, DecoupledKd)       \
  DISTILL_LABELLED_LOSS(which, WeightedSoftLabel) \
  DISTILL_TEACHER_LOSS(which, Dist)               \
  DISTILL_TEACHER_LOSS(which, MultiLevel)         \
  DISTILL_TEACHER_LOSS(which, LogitMse)           \
  DISTILL_TEACHER_LOSS(which, LogitCosine)        \
  DISTILL_TEACHER_LOSS(which, BinaryKl)           \
  DISTILL_SORTED(which, UniversalLogit, float)    \
  DISTILL_SORTED(which, UniversalLogit, double)   \
  DISTILL_SORTED(which, UniversalLogit, half)     \
  DISTILL_SORTED(which, UniversalLogit, bfloat16)

#define DISTILL_TOP_K_LOSSES(which)                                         \
  DISTILL_SPARSE(which, TopKKl, ForwardKlTerm, float, std::uint32_t, float) \
  DISTILL_TOP_K(which, TopKKl, ForwardKlTerm)                               \
  DISTILL_TOP_K(which, TopKReverseKl, ReverseKlTerm)                        \
  DISTILL_TOP_K(which, TopKJensenShannon, ForwardKlTerm)                    \
  DISTILL_TOP_K(which, TopKJensenShannon, ReverseKlTerm)                    \
  DISTILL_TOP_K(which, TopKJensenShannon, JensenShannonTerm)                \
  DISTILL_TOP_K(which, TopKTotalVariation, TotalVariationTerm)

#define DISTILL_SOFTMAX(which, each, row)                                                                        \
  each(which, row, float, float) each(which, row, double, double) each(which, row, distill::half, distill::half) \
      each(which, row, distill::bfloat16, distill::bfloat16) each(which, row, float, double)                     \
          each(which, row, double, distill::half) each(which, row, distill::half, distill::bfloat16)             \
              each(which, row, distill::bfloat16, float)
#define DISTILL_ALL_SOFTMAX(which)                                   \
  DISTILL_SOFTMAX(which, DISTILL_ROW, softmax_row)                   \
  DISTILL_SOFTMAX(which, DISTILL_ROW, log_softmax_row)               \
  DISTILL_SOFTMAX(which, DISTILL_BACKWARD_ROW, softmax_backward_row) \
  DISTILL_SOFTMAX(which, DISTILL_BACKWARD_ROW, log_softmax_backward_row)

// ----------------------------------------------------------------------------------------------------- hidden layers

#define DISTILL_MATRICES(which, Loss, S, T)                                                            \
  which template double distill::Loss::compute(const MatrixView<const S>&, const MatrixView<const T>&, \
                                               const GradientTarget<MatrixView<S>>&, const RowOptions&) const;
#define DISTILL_MAPS(which, Loss, S, T)                                                                        \
  which template double distill::Loss::compute(const FeatureMapView<const S>&, const FeatureMapView<const T>&, \
                                               const GradientTarget<FeatureMapView<S>>&, const RowOptions&) const;
#define DISTILL_MASKED_MAPS(which, Loss, S, T)                                                                      \
  which template double distill::Loss::compute(const FeatureMapView<const S>&, const FeatureMapView<const T>&,      \
                                               const detail::LiveTokens&, const GradientTarget<FeatureMapView<S>>&, \
                                               const RowOptions&) const;
#define DISTILL_MARGINS(which, Loss, S, Margin)                                                                \
  which template double distill::Loss::compute(const FeatureMapView<const S>&, const FeatureMapView<const S>&, \
                                               const Margin*, const GradientTarget<FeatureMapView<S>>&,        \
                                               const RowOptions&) const;
#define DISTILL_LEARNED(which, Loss, S, P)                                                                     \
  which template double distill::Loss::compute(const FeatureMapView<const S>&, const FeatureMapView<const S>&, \
                                               const P*, const GradientTarget<FeatureMapView<S>>&,             \
                                               const GradientTarget<MatrixView<P>>&, const RowOptions&) const;
#define DISTILL_BATCH(which, Loss, S, T, Computed)        \
  which template double distill::Loss::compute<Computed>( \
      const detail::PairCall<MatrixView<const S>, MatrixView<const T>>&, const RowOptions&) const;
#define DISTILL_BATCH_IN_DOUBLE(which, Loss, S)                                                                   \
  which template double distill::Loss::compute(const detail::PairCall<MatrixView<const S>, MatrixView<const S>>&, \
                                               const RowOptions&) const;
#define DISTILL_SAMPLES(which, Loss, S, T)                                                                         \
  which template double distill::Loss::sample_loss(const FeatureMapView<const S>&, const FeatureMapView<const T>&, \
                                                   const GradientTarget<FeatureMapView<S>>&, std::size_t, double)  \
      const;

#define DISTILL_ALL_TYPES(each, which, Loss)                                                      \
  each(which, Loss, float, float) each(which, Loss, double, double) each(which, Loss, half, half) \
      each(which, Loss, bfloat16, bfloat16)
#define DISTILL_FEW_PAIRS(each, which, Loss) each(which, Loss, double, half) each(which, Loss, bfloat16, float)
#define DISTILL_BATCH_LOSS(which, Loss)           \
  DISTILL_BATCH(which, Loss, float, float, float) \
  DISTILL_BATCH(which, Loss, double, double, double)

#define DISTILL_FEATURES(which)                                  \
  DISTILL_ALL_TYPES(DISTILL_MATRICES, which, FeatureMatching)    \
  DISTILL_FEW_PAIRS(DISTILL_MATRICES, which, FeatureMatching)    \
  DISTILL_ALL_TYPES(DISTILL_MATRICES, which, ActivationBoundary) \
  DISTILL_ALL_TYPES(DISTILL_MAPS, which, FactorTransfer)         \
  DISTILL_ALL_TYPES(DISTILL_MAPS, which, Review)

#define DISTILL_CHANNELS(which)                                    \
  DISTILL_ALL_TYPES(DISTILL_MAPS, which, ChannelWise)              \
  DISTILL_ALL_TYPES(DISTILL_MAPS, which, PearsonFeatures)          \
  DISTILL_ALL_TYPES(DISTILL_MAPS, which, NeuronSelectivity)        \
  DISTILL_MARGINS(which, MarginRelu, float, float)                 \
  DISTILL_MARGINS(which, MarginRelu, float, double)                \
  DISTILL_MARGINS(which, MarginRelu, double, double)               \
  DISTILL_MARGINS(which, MarginRelu, half, double)                 \
  DISTILL_MARGINS(which, MarginRelu, bfloat16, double)             \
  DISTILL_LEARNED(which, VariationalInformation, float, float)     \
  DISTILL_LEARNED(which, VariationalInformation, float, double)    \
  DISTILL_LEARNED(which, VariationalInformation, double, double)   \
  DISTILL_LEARNED(which, VariationalInformation, half, half)       \
  DISTILL_LEARNED(which, VariationalInformation, half, double)     \
  DISTILL_LEARNED(which, VariationalInformation, bfloat16, double) \
  DISTILL_LEARNED(which, VariationalInformation, bfloat16, float)

#define DISTILL_ATTENTION(which)                                 \
  DISTILL_ALL_TYPES(DISTILL_MAPS, which, AttentionTransfer)      \
  DISTILL_FEW_PAIRS(DISTILL_MAPS, which, AttentionTransfer)      \
  DISTILL_ALL_TYPES(DISTILL_MASKED_MAPS, which, AttentionMatrix) \
  DISTILL_ALL_TYPES(DISTILL_MASKED_MAPS, which, ValueRelation)

#define DISTILL_PROJECTED(which, Loss)                                                                             \
  which template double distill::Projected<distill::Loss>::compute<true>(                                          \
      const MatrixView<const float>&, const LinearProjection<const float>&, const MatrixView<const float>&,        \
      const GradientTarget<MatrixView<float>>&, const GradientTarget<LinearProjection<float>>&, const RowOptions&) \
      const;

#define DISTILL_RELATIONS(which)                                     \
  DISTILL_PROJECTED(which, KlDivergence)                             \
  DISTILL_PROJECTED(which, RelationalDistance)                       \
  DISTILL_BATCH_LOSS(which, RelationalDistance)                      \
  DISTILL_BATCH_IN_DOUBLE(which, RelationalAngle, float)             \
  DISTILL_BATCH_IN_DOUBLE(which, RelationalAngle, double)            \
  DISTILL_BATCH_LOSS(which, SimilarityPreserving)                    \
  DISTILL_BATCH(which, SimilarityPreserving, bfloat16, float, float) \
  DISTILL_ALL_TYPES(DISTILL_SAMPLES, which, ChannelGram)

#define DISTILL_MORE_RELATIONS(which)                                \
  DISTILL_BATCH_LOSS(which, ProbabilisticTransfer)                   \
  DISTILL_BATCH(which, ProbabilisticTransfer, double, float, double) \
  DISTILL_BATCH_LOSS(which, CorrelationCongruence)                   \
  DISTILL_BATCH_LOSS(which, LinearCka)                               \
  DISTILL_BATCH_LOSS(which, Contrastive)

// ------------------------------------------------------------------------------------------------------------ declared

DISTILL_KL_DIVERGENCE(extern)
DISTILL_KNOWLEDGE_DISTILLATION(extern)
DISTILL_LABELS_ALONE(extern)
DISTILL_DIVERGENCES(extern)
DISTILL_MIXTURES(extern)
DISTILL_OTHER_SCORES(extern)
DISTILL_TOP_K_LOSSES(extern)
DISTILL_ALL_SOFTMAX(extern)
DISTILL_FEATURES(extern)
DISTILL_CHANNELS(extern)
DISTILL_ATTENTION(extern)
DISTILL_RELATIONS(extern)
DISTILL_MORE_RELATIONS(extern)
