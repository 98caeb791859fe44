// What kernels are told. Read by the host's compiler and, ahead of the kernels, by the device's.
#ifndef SSL_CUDA_ARGUMENTS
#define SSL_CUDA_ARGUMENTS

// x, branch, stream, y and their gradients are [rows, d]; absent tensors are null. moments is [rows, 2]: mean, 1 / deviation.
struct NormArguments {
  const void *x, *branch;
  const float *gain, *bias;
  void *stream, *y;
  float* moments;
  const void *d_stream, *d_y;
  void* d_x;
  // [blocks, d]: the sums of one block's rows each.
  float *d_gain, *d_bias;
  long long rows, d;
  float eps;
  int centred;
};

// Rows of n features, each tensor with its own distance between rows.
struct ActivationArguments {
  const void *x, *up, *d_y;
  void *y, *d_x, *d_up;
  long long x_row, up_row, d_y_row, y_row, d_x_row, d_up_row;
  long long rows, n;
};

// logits [rows, v], replaced by their gradient where that is asked for.
struct CrossEntropyArguments {
  void* logits;
  const long long* targets;
  const float* weights;
  float* nats;
  long long v;
  int gradient;
};

// What travels with a launch has at most 4 KiB.
#define SSL_CUDA_TENSORS 48
#define SSL_CUDA_CHUNK 16384

// Tensor i is cut into chunks, which are those of the blocks from first[i] on.
struct TensorLists {
  float *p[SSL_CUDA_TENSORS], *m[SSL_CUDA_TENSORS], *v[SSL_CUDA_TENSORS];
  // The model's own copy in bf16, or null.
  void* leaf[SSL_CUDA_TENSORS];
  const void* g[SSL_CUDA_TENSORS];
  long long n[SSL_CUDA_TENSORS];
  float decay[SSL_CUDA_TENSORS], coupled[SSL_CUDA_TENSORS];
  int first[SSL_CUDA_TENSORS];
  int tensors;
};

struct AdamArguments {
  TensorLists lists;
  float lr, beta1, beta2, eps, correction1, correction2_root, scale;
};

struct SgdArguments {
  TensorLists lists;
  float lr, momentum, scale;
  int nesterov;
};

// A sum a block.
struct SquaresArguments {
  TensorLists lists;
  double* sums;
};

#endif
