// The text of the Error that a call ends in.
#pragma once

#include <string>

#include "ramp/core/error.h"

template <typename F>
std::string message(F f) {
  try {
    f();
  } catch (const ramp::Error& error) {
    return error.what();
  }
  return "no error";
}
