// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <casevault/bytes.hpp>

#include <fstream>
#include <sstream>
#include <vector>

namespace casevault::test {

/// Runs `body` in a forked child; its exit status, or -1 if it was killed.
template <typename Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

/// One mapping of this process, from /proc/self/smaps.
struct Mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::string permissions;
  std::string flags;  ///< " rd wr ... dd wf "

  [[nodiscard]] bool has(std::string_view flag) const {
    return flags.find(" " + std::string(flag) + " ") != std::string::npos;
  }
  [[nodiscard]] ByteView bytes() const {
    return {reinterpret_cast<const std::uint8_t*>(begin), end - begin};  // NOLINT
  }
};

inline std::vector<Mapping> mappings() {
  std::vector<Mapping> all;
  std::ifstream in("/proc/self/smaps");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmFlags:")) {
      all.back().flags = line.substr(8) + " ";
    } else if (std::isxdigit(static_cast<unsigned char>(line[0])) != 0 && line.find('-') < line.find(' ')) {
      Mapping next;
      char dash = 0;
      std::istringstream(line) >> std::hex >> next.begin >> dash >> next.end >> next.permissions;
      all.push_back(next);
    }
  }
  return all;
}

}  // namespace casevault::test
