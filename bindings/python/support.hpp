// SPDX-License-Identifier: Apache-2.0
// The public headers for Python. What can be said in Python is said there (casevault/__init__.py); here are the types
// that hold keys and plaintext, and every call that waits or works gives the GIL away.
#pragma once

#include <casevault/casevault.hpp>

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <tuple>

namespace nb = nanobind;
using namespace nb::literals;

namespace casevault::python {

/// A file's or folder's name on its way in.
struct Path : std::filesystem::path {};

}  // namespace casevault::python

/// nanobind's own caster for paths leaves a generic type open, which mypy refuses in strict mode.
template <>
struct nanobind::detail::type_caster<casevault::python::Path> {
  NB_TYPE_CASTER(casevault::python::Path, const_name("str | os.PathLike[str]"))
  bool from_python(handle source, std::uint8_t /*flags*/, cleanup_list* /*cleanup*/) noexcept {
    PyObject* bytes = nullptr;
    if (PyUnicode_FSConverter(source.ptr(), &bytes) == 0) {
      PyErr_Clear();
      return false;
    }
    value.assign(PyBytes_AsString(bytes));
    Py_DECREF(bytes);
    return true;
  }
};

namespace casevault::python {

using Pairs = std::vector<std::pair<std::string, std::string>>;
using Dict = nb::typed<nb::dict, std::string, nb::any>;
using Dicts = nb::typed<nb::list, Dict>;
using Callback = std::optional<nb::object>;

/// An Error on its way through C++ frames; becomes the exception named after its code.
struct Failure {
  Error error;
};

template <typename T>
T take(Result<T> result) {
  if (!result.has_value()) throw Failure{std::move(result).error()};
  return *std::move(result);
}
inline void take(const Result<void>& result) {
  if (!result.has_value()) throw Failure{result.error()};
}

/// Work without the GIL. Python objects are neither made nor let go in it.
template <typename Work>
auto released(const Work& work) {
  const nb::gil_scoped_release release;
  return work();
}

/// What Python raised while C++ was calling it. The C++ call ends as if stopped; then it is raised again.
class Raised {
 public:
  /// Whether to go on. Called without the GIL.
  template <typename Step>
  bool guard(const Step& step) {
    const nb::gil_scoped_acquire acquire;
    try {
      if (error_) return false;
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
      return step();
    } catch (nb::python_error& error) {
      error_.emplace(std::move(error));
      return false;
    }
  }
  template <typename Value>
  auto take(Result<Value> result) {
    if (error_) throw std::move(*error_);
    return python::take(std::move(result));
  }

 private:
  std::optional<nb::python_error> error_;
};

/// What a callback answered: anything but False, or what counts as false, goes on; None too.
inline bool goes_on(const nb::object& answer) {
  if (answer.is_none()) return true;
  const int truth = PyObject_IsTrue(answer.ptr());
  if (truth < 0) throw nb::python_error();
  return truth != 0;
}

inline bool advance(const nb::object& callback, const Progress& progress) {
  return goes_on(callback(nb::str(progress.stage.data(), progress.stage.size()), progress.done, progress.total));
}

/// Long work that calls back while it lasts. Ctrl-C stops it also where nobody wants to see progress.
template <typename Work>
auto watched(const Callback& progress, const Work& work) {
  Raised raised;
  const ProgressCallback callback = [&](const Progress& now) {
    return raised.guard([&] { return !progress || advance(*progress, now); });
  };
  return raised.take(released([&] { return work(callback); }));
}

inline RecordId id_of(std::string_view text) { return take(RecordId::parse(text)); }

inline nb::typed<nb::list, std::string> texts_of(const std::vector<RecordId>& ids) {
  nb::list out;
  for (const RecordId& id : ids) out.append(id.to_string());
  return out;
}

inline std::vector<FieldInput> inputs_of(const Pairs& fields) {
  std::vector<FieldInput> out;
  for (const auto& [name, text] : fields) out.push_back({.name = name, .text = text});
  return out;
}

inline std::string hex(const std::array<std::uint8_t, 32>& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte / 16U];
    out += kDigits[byte % 16U];
  }
  return out;
}

inline const nb::sig kReduce("def __reduce__(self) -> typing.Never");
template <typename T>
nb::object not_pickled(const T& /*self*/) {
  throw nb::type_error("this is not pickled: what it holds must not leave the process unseen");
}

/// Plaintext in locked memory. A forked child finds it wiped: the first byte, which is 1 elsewhere, tells.
class Plaintext {
 public:
  explicit Plaintext(std::size_t room = 0) : bytes_(room + 1) { bytes_.mutable_view().front() = kAlive; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void append(std::string_view text) {
    if (bytes_.size() - 1 - size_ < text.size()) {
      SecretBytes larger(std::max(2 * bytes_.size(), size_ + text.size() + 1));
      std::ranges::copy(bytes_.view().first(size_ + 1), larger.mutable_view().begin());
      bytes_ = std::move(larger);
    }
    std::ranges::copy(as_bytes(text), bytes_.mutable_view().subspan(size_ + 1).begin());
    size_ += text.size();
  }
  [[nodiscard]] std::string_view text(std::size_t at, std::size_t size) const {
    if (bytes_.view().front() != kAlive)
      throw Failure{{.code = ErrorCode::kUsage, .message = "what was disclosed is wiped in a forked child"}};
    return bytes_.text().substr(at + 1, size);
  }

 private:
  static constexpr std::uint8_t kAlive = 1;
  SecretBytes bytes_;
  std::size_t size_ = 0;
};

/// A part of a plaintext, which lives as long as somebody holds a part. Only reveal() makes a Python object of it,
/// which nobody can wipe.
struct Secret {
  std::shared_ptr<const Plaintext> plaintext;
  std::size_t at = 0;
  std::size_t size = 0;
  [[nodiscard]] std::string_view text() const { return plaintext->text(at, size); }
};

/// A session that can be asked, without taking any lock, whether it was closed.
struct Open : Session {
  explicit Open(Session session) : Session(std::move(session)) {}
  std::shared_ptr<std::atomic<bool>> closed = std::make_shared<std::atomic<bool>>(false);
};

/// The keys of one principal, until closed. Who comes while they are in use is told so and does not wait: it may be the
/// callback of the work that uses them.
class Holder {
 public:
  explicit Holder(Identity identity) : identity_(std::move(identity)) {}
  /// Called without the GIL.
  template <typename Work>
  auto with(const Work& work) {
    const Turn turn(busy_);
    if (!identity_) throw Failure{{.code = ErrorCode::kUsage, .message = "this identity is closed"}};
    return work(*identity_);
  }
  void close() {
    const Turn turn(busy_);
    identity_.reset();
  }

 private:
  class Turn {
   public:
    explicit Turn(std::atomic_flag& busy) : busy_(busy) {
      if (busy_.test_and_set())
        throw Failure{{.code = ErrorCode::kBusy, .message = "this identity is in use; try again"}};
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { busy_.clear(); }

   private:
    std::atomic_flag& busy_;
  };

  std::atomic_flag busy_;
  std::optional<Identity> identity_;
};

void bind_values(nb::module_& m);
void bind_tables(nb::module_& m);
void bind_schema(nb::module_& m);
void bind_identity(nb::module_& m);
void bind_session(nb::module_& m);

// Parts of the session.
void bind_search(nb::module_& m, nb::class_<Open>& session);
void bind_disclosing(nb::class_<Open>& session);
void bind_publishing(nb::class_<Open>& session);
void bind_log(nb::class_<Open>& session);
void bind_keys(nb::class_<Open>& session);

}  // namespace casevault::python
