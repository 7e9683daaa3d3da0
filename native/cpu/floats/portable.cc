#define PYRAMIDION_FLOATS floats_portable
#include "cpu/floats/table.inc.h"
