#define PYRAMIDION_FLOATS floats_neon
// What the compiler defines says nothing: portable.cc is compiled for a processor with NEON too.
#define PYRAMIDION_NEON
#include "cpu/floats/table.inc.h"
