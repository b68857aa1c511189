// See format.h.
#include "runtime/format.h"

#include <cstdarg>
#include <cstdio>

namespace leon {

std::string format(const char* pattern, ...) {
    char text[512];
    va_list values;
    va_start(values, pattern);
    std::vsnprintf(text, sizeof text, pattern, values);
    va_end(values);
    return text;
}

}  // namespace leon
