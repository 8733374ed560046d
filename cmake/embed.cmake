# The report's page: glass/page/* joined into one HTML template, which report_html() fills in at
# {{ramp:title}} and {{ramp:data}}.
#   ramp_embed_page(<target>)       adds it to a target: kReportPage, kReportPageSize (namespace ramp)
#   cmake -DPAGE=<glass/page> [-DHTML=<file>] [-DSOURCE=<file.cc>] -P embed.cmake     writes it
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(RAMP_EMBED ${CMAKE_CURRENT_LIST_FILE})
  function(ramp_embed_page target)
    set(page ${PROJECT_SOURCE_DIR}/glass/page)
    file(GLOB_RECURSE parts CONFIGURE_DEPENDS ${page}/*)
    set(source ${PROJECT_BINARY_DIR}/generated/report_page.cc)
    add_custom_command(OUTPUT ${source} DEPENDS ${parts} ${RAMP_EMBED} VERBATIM
                       COMMAND ${CMAKE_COMMAND} -DPAGE=${page} -DSOURCE=${source} -P ${RAMP_EMBED}
                       COMMENT "Joining the report's page")
    target_sources(${target} PRIVATE ${source})
  endfunction()
  return()
endif()

cmake_minimum_required(VERSION 3.22)

# Appends files to `text`.
function(join)
  foreach(file ${ARGN})
    file(READ ${file} part)
    # Browsers would look for the map.
    string(REGEX REPLACE "\n//# sourceMappingURL=[^\n]*" "" part "${part}")
    string(APPEND text "${part}\n")
  endforeach()
  set(text "${text}" PARENT_SCOPE)
endfunction()

# A third party's file behind its notice.
function(join_third_party folder file)
  file(READ ${PAGE}/third_party/${folder}/LICENSE license)
  string(APPEND text "/*! ${folder}\n${license}*/\n")
  join(${PAGE}/third_party/${folder}/${file})
  set(text "${text}" PARENT_SCOPE)
endfunction()

set(text)
join_third_party(uplot uPlot.min.css)
join(${PAGE}/page.css)
set(css "${text}")

set(text)
join_third_party(uplot uPlot.iife.min.js)
join_third_party(dagre dagre.min.js)
file(GLOB scripts ${PAGE}/*.js)
list(SORT scripts)
join(${scripts})
set(js "${text}")

file(READ ${PAGE}/words.en.json english)
file(READ ${PAGE}/words.pt.json portuguese)
set(words "{\"en\":${english},\"pt\":${portuguese}}")

file(READ ${PAGE}/page.html html)
foreach(part css words js)
  string(REPLACE "{{ramp:${part}}}" "${${part}}" html "${html}")
endforeach()

if(HTML)
  file(WRITE ${HTML} "${html}")
endif()
if(SOURCE)
  # As numbers: no compiler has a limit for these, and no text in them can end them.
  set(plain ${SOURCE}.html)
  file(WRITE ${plain} "${html}")
  file(READ ${plain} bytes HEX)
  file(REMOVE ${plain})
  string(LENGTH "${bytes}" size)
  math(EXPR size "${size} / 2")
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  file(WRITE ${SOURCE} "// Made by cmake/embed.cmake from glass/page.
#include <cstddef>
namespace ramp {
extern const unsigned char kReportPage[];
extern const size_t kReportPageSize;
const unsigned char kReportPage[] = {${bytes}0};
const size_t kReportPageSize = ${size};
}  // namespace ramp
")
endif()
