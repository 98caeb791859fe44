// Word2Vec without locks: threads share two tables of floats and take sentences from one counter.
//
// Two threads may write the same row at once and one of the writes may be lost. That is the method (Niu, Recht, Re and Wright
// 2011, "Hogwild"): rows are many and collisions few. One thread alone gives the same bits each time.
#include "shim.h"
#include "word2vec.h"
#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DISPATCH 1
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace avx512 {
#define SSL_LANES 16
#include "word2vec_loop.h"
#undef SSL_LANES
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define SSL_LANES 8
#include "word2vec_loop.h"
#undef SSL_LANES
}
#pragma GCC pop_options
#endif

namespace portable {
#define SSL_LANES 4
#include "word2vec_loop.h"
#undef SSL_LANES
}

namespace {

using Piece = Nats (*)(const Word2Vec&, int64_t, Scratch&);

// `most` 0 is the portable loop, 1 allows AVX2, 2 AVX-512.
Piece choose(int most) {
#ifdef DISPATCH
  if (most >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return avx512::piece;
  if (most >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::piece;
#endif
  return portable::piece;
}

struct Room {
  std::vector<float> floats;
  std::vector<float*> rows;
  std::vector<uint32_t> draws;
  Scratch scratch;

  explicit Room(const Word2Vec& w) {
    const int64_t places = w.cbow ? 1 : 2 * w.window, draws_each = places * w.negatives + 1;
    const int64_t n = w.alias ? 1 + w.negatives : w.longest, stride = (n + 7) / 8 * 8;
    floats.resize(2 * w.d + (2 + places) * stride);
    rows.resize(places * stride + 1);
    draws.resize(2 * draws_each);
    scratch.hidden = floats.data();
    scratch.error = scratch.hidden + w.d;
    scratch.labels = scratch.error + w.d;
    scratch.fillers = scratch.labels + stride;
    scratch.gradients = scratch.fillers + stride;
    scratch.stride = stride;
    if (w.alias) scratch.labels[0] = 1;
    std::fill(scratch.fillers + n, scratch.fillers + stride, FILLER);
    scratch.rows = rows.data();
    scratch.draws = draws.data();
    scratch.next = scratch.draws + draws_each;
  }
};

Nats run(const Word2Vec& w, int threads, int most) {
  const Piece piece = choose(most);
  std::vector<Room> rooms;
  rooms.reserve(threads);
  for (int t = 0; t < threads; ++t) rooms.emplace_back(w);
  // Vectors moved keep their storage, but the first room's pointers were taken in place: nothing was moved.
  std::vector<Nats> found(threads);
  std::atomic<int64_t> taken{0};
  auto work = [&](int t) {
    Nats sum;
    for (int64_t i; (i = taken.fetch_add(1, std::memory_order_relaxed)) < w.pieces;) {
      const Nats part = piece(w, i, rooms[t].scratch);
      sum.nats += part.nats;
      sum.weight += part.weight;
    }
    found[t] = sum;
  };
  std::vector<std::thread> others;
  others.reserve(threads);
  std::exception_ptr fault;
  try {
    for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
  } catch (...) {
    fault = std::current_exception();
  }
  for (auto& thread : others) thread.join();
  if (fault) std::rethrow_exception(fault);
  Nats sum;
  for (const Nats& part : found) {
    sum.nats += part.nats;
    sum.weight += part.weight;
  }
  return sum;
}

void require(bool fine, const char* what) {
  if (!fine) throw std::invalid_argument(what);
}

float* table(const at::Tensor& t, const char* what) {
  require(t.device().is_cpu() && t.scalar_type() == at::kFloat && t.dim() == 2 && t.is_contiguous(), what);
  return t.data_ptr<float>();
}
}  // namespace

extern "C" int ssl_word2vec(Handle in, Handle out, Word2Vec* w, int threads, int most, double* nats, int64_t* weight) {
  GUARD({
    w->in = table(*in, "the input table must be a contiguous float matrix on the CPU");
    w->out = table(*out, "the output table must be a contiguous float matrix on the CPU");
    w->d = in->size(1);
    require(out->size(1) == w->d, "the two tables differ in width");
    const Nats sum = run(*w, std::max(threads, 1), most);
    *nats = sum.nats;
    *weight = sum.weight;
  })
}
