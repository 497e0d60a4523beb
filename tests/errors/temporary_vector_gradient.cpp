// error: this gradient is a temporary matrix, gone with the call. Pass a matrix that has a name, or a view of one
#include <distill/features/variational_information.hpp>
#include <vector>

double loss(distill::FeatureMapView<float> student, distill::FeatureMapView<float> teacher,
            const std::vector<float>& log_scale, distill::FeatureMapView<float> grad_student,
            std::vector<float>& grad_log_scale) {
#if defined(WRONG)
  return distill::VariationalInformation{}(student, teacher, log_scale, grad_student,
                                           distill::add_to(std::vector<float>(grad_log_scale)));
#else
  return distill::VariationalInformation{}(student, teacher, log_scale, grad_student, distill::add_to(grad_log_scale));
#endif
}
