// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/side.hpp"

namespace casevault::bench {

/// casevault by its public interface, with all it does: schema, policy, padding, log.
class CasevaultSide : public Side {
 public:
  /// All records of the workload in another vault, whose schema has no index.
  virtual void import_without_index(const std::filesystem::path& folder) = 0;
  /// Checks the whole log; an operation is a leaf.
  virtual Timed verify() = 0;
  /// Opens when nothing is remembered of the database; an operation is a byte of it.
  virtual Timed open_unremembered() = 0;
  /// Growth of this process's own memory in the last import, files it maps apart.
  [[nodiscard]] virtual std::size_t import_memory() const = 0;
};

[[nodiscard]] std::unique_ptr<CasevaultSide> make_casevault(const Workload& workload);

}  // namespace casevault::bench
