// What kernels share: bf16, loads and stores of W numbers at once, sums over a block.

struct bf16 {
  unsigned short bits;
};

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

// To the nearest, ties to even; not-a-number stays one.
template <typename T>
__device__ inline T narrow(float x);
template <>
__device__ inline float narrow<float>(float x) { return x; }
template <>
__device__ inline bf16 narrow<bf16>(float x) {
#if __CUDA_ARCH__ >= 800
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  const unsigned bits = __float_as_uint(x);
  if (x != x) return {static_cast<unsigned short>(bits >> 16 | 64)};
  return {static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
#endif
}

// e^x and 1 / x; for bf16 the fast ones, whose errors are far below that of what is stored.
__device__ inline float power(float x, float) { return expf(x); }
__device__ inline float power(float x, bf16) { return __expf(x); }
__device__ inline float inverse(float x, float) { return 1.0f / x; }
__device__ inline float inverse(float x, bf16) { return __fdividef(1.0f, x); }

// W numbers that lie together; W > 1 only where the address is a multiple of 16.
template <typename T, int W>
struct alignas(sizeof(T) * W < 16 ? sizeof(T) * W : 16) Pack {
  T at[W];
};

template <typename T, int W>
__device__ inline void load(const void* from, long long i, float (&to)[W]) {
  const Pack<T, W> pack = *reinterpret_cast<const Pack<T, W>*>(static_cast<const T*>(from) + i);
#pragma unroll
  for (int k = 0; k < W; ++k) to[k] = widen(pack.at[k]);
}

template <typename T, int W>
__device__ inline void store(void* to, long long i, const float (&from)[W]) {
  Pack<T, W> pack;
#pragma unroll
  for (int k = 0; k < W; ++k) pack.at[k] = narrow<T>(from[k]);
  *reinterpret_cast<Pack<T, W>*>(static_cast<T*>(to) + i) = pack;
}

// What a stored number reads as.
template <typename T>
__device__ inline float rounded(float x) { return widen(narrow<T>(x)); }

struct Sum {
  __device__ static float join(float a, float b) { return a + b; }
  static constexpr float NONE = 0.0f;
};

struct Most {
  __device__ static float join(float a, float b) { return fmaxf(a, b); }
  static constexpr float NONE = -3.402823466e38f;
};

template <typename Op>
__device__ inline float over_warp(float x) {
#pragma unroll
  for (int far = 16; far > 0; far >>= 1) x = Op::join(x, __shfl_xor_sync(0xFFFFFFFFu, x, far));
  return x;
}

// One number a thread to one of the block, known to every thread; the order of additions is fixed. Threads are whole warps.
template <typename Op>
__device__ inline float over_block(float x) {
  __shared__ float part[32];
  x = over_warp<Op>(x);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
  __syncthreads();
  const int warps = blockDim.x / 32;
  x = over_warp<Op>(threadIdx.x % 32 < warps ? part[threadIdx.x % 32] : Op::NONE);
  // The next call writes where this one reads.
  __syncthreads();
  return x;
}
