// Reading and setting the state of libtorch's random number generators.
#include "generator.h"

extern "C" {

int ssl_generator_state(int device, Handle* state) { GUARD(*state = new at::Tensor(generator_state(device_of(device)))) }

int ssl_set_generator_state(int device, Handle state) { GUARD(set_generator_state(device_of(device), *state)) }
}
