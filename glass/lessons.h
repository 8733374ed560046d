// Nine lessons in backpropagation, from ReLU at -1 to a convolution: `ramp-report --lessons`.
#pragma once

#include <string>

#include "ramp/glass/glass_file.h"
#include "ramp/glass/report.h"

namespace ramp {

/// The steps of nine small expressions, and four gradient checks of which three find a fault that
/// was planted; as a run that report_html() shows.
GlassFile lessons();

/// report_html() of them, written whole or not at all. Errors: a file that cannot be written.
void save_lessons(const std::string& path, const ReportOptions& options = {});

}  // namespace ramp
