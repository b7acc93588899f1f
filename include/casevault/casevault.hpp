// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/analytics.hpp>
#include <casevault/audit.hpp>
#include <casevault/bytes.hpp>
#include <casevault/disclosure.hpp>
#include <casevault/find.hpp>
#include <casevault/maintenance.hpp>
#include <casevault/policy.hpp>
#include <casevault/record.hpp>
#include <casevault/result.hpp>
#include <casevault/schema.hpp>
#include <casevault/unlock.hpp>
#include <casevault/vault.hpp>
