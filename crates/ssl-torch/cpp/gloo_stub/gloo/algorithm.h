// Nothing of this header is used by ProcessGroupGloo.hpp; see context.h.
#pragma once
