// oneDNN's softmax and logsoftmax, which are primitives: created once per shape, then executed. One thread.
#include <omp.h>

#include <dnnl.hpp>
#include <memory>
#include <unordered_map>

#include "peers.hpp"

namespace report {
namespace {

template <class Primitive>
Contender forward(const Problem& problem) {
  const auto rows = static_cast<dnnl::memory::dim>(problem.shape[0]);
  const auto cols = static_cast<dnnl::memory::dim>(problem.shape[1]);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const dnnl::memory::desc layout({rows, cols}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab);
  const Primitive primitive(typename Primitive::primitive_desc(
      typename Primitive::desc(dnnl::prop_kind::forward_inference, layout, 1), engine));
  const auto out = std::make_shared<std::vector<float>>(problem.shape[0] * problem.shape[1]);
  const std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, {layout, engine, const_cast<float*>(problem.student)}},
      {DNNL_ARG_DST, {layout, engine, out->data()}}};
  return {"oneDNN",
          [=, stream = std::make_shared<dnnl::stream>(engine)] {
            omp_set_num_threads(1);
            primitive.execute(*stream, arguments);
            stream->wait();
            return (*out)[0];
          },
          [out] { return *out; }};
}

std::vector<Contender> contenders(const Problem& problem) {
  if (problem.loss == "softmax") return {forward<dnnl::softmax_forward>(problem)};
  if (problem.loss == "log_softmax") return {forward<dnnl::logsoftmax_forward>(problem)};
  return {};
}

}  // namespace

Peer onednn_peer() {
  const dnnl_version_t* version = dnnl_version();
  return {"oneDNN", "libdnnl-dev",
          std::to_string(version->major) + '.' + std::to_string(version->minor) + '.' + std::to_string(version->patch),
          contenders};
}

}  // namespace report
