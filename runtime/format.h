// printf into a string, for reports and messages. At most 511 characters.
#pragma once

#include <string>

namespace leon {

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...);

}  // namespace leon
