// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/schema.hpp>

namespace casevault::vault {

/// A checked, encoded field on its way into a cell. The value lies in locked memory of whoever encoded it.
struct EncodedField {
  const Field* field = nullptr;
  ByteView value;
};

}  // namespace casevault::vault
