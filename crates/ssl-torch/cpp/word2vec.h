// What the lock-free loop of Word2Vec is told: plain pointers, checked before by the caller.
#pragma once
#include <cstdint>

// Tokens handled as one sentence at most, as in the original program (MAX_SENTENCE_LENGTH).
constexpr int64_t SENTENCE = 1000;

// Added to a dot product that is none: its loss and its step are 0 under the label 0.
constexpr float FILLER = -1000;

struct Alias {
  uint32_t threshold, other;
};

struct Word2Vec {
  float *in, *out;  // [v, d] and [r, d]
  int64_t d;
  const uint32_t* tokens;
  const int64_t* bounds;  // where each piece begins and ends in tokens; it has at most SENTENCE of them
  int64_t pieces;
  const uint32_t* keep;  // [v]: a token stays where a 32-bit draw is below; 0 never, 2^32 - 1 always
  const Alias* alias;    // [v], negative sampling; null for a tree
  int64_t words;         // v
  int64_t negatives;
  const uint32_t* starts;  // [v + 1], places in nodes and labels
  const uint32_t* nodes;   // output rows from the root to each word
  const float* labels;     // 1 where the path turns to the first branch, 0 where it turns to the second
  int64_t longest;         // the longest path
  int64_t window;
  int cbow, exact, train;
  float lr;
  uint64_t key;
};

// Room of one thread; sizes are fixed before the loop so that nothing in it can fail.
struct Scratch {
  float *hidden, *error;     // [d]
  float** rows;              // [2 window, stride]: what each prediction of a place is made against
  float* gradients;          // the same
  int64_t stride;            // the longest path or 1 + negatives, in whole blocks of eight
  float *labels, *fillers;   // [stride]
  uint32_t *draws, *next;    // [2 window negatives]
  uint32_t kept[SENTENCE];
};

// What a piece adds to the loss, and over how many predictions.
struct Nats {
  double nats = 0;
  int64_t weight = 0;
};
