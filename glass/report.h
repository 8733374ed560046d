// A recorded run as a page.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ramp/glass/glass_file.h"

namespace ramp {

struct ReportOptions {
  std::string lang = {};     // "en" or "pt"; nothing: the browser's
  size_t bytes = 2'900'000;  // about what the page may have
};

/// One HTML file that needs nothing else: no server, no request. Two runs are shown beside each
/// other. Long series are thinned with their smallest and largest values, and so are whole records
/// until all fits; what is counted, is counted from all of them.
/// Errors: no run, or more than two; another language; a record with members of other types.
std::string report_html(const std::vector<GlassFile>& runs, const ReportOptions& options = {});

/// Reads the files and writes report_html() of them, whole or not at all.
/// Errors: those of read_glass(); a file that cannot be written.
void save_report(const std::string& path, const std::vector<std::string>& glass_files,
                 const ReportOptions& options = {});

}  // namespace ramp
