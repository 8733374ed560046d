#include "ramp/data/new_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "ramp/core/error.h"

namespace ramp {

void NewFile::fail_system(const char* what, const std::string& path) const {
  fail("{}: {} {}: {}. Hint: the folder must exist, be writable and have room.", op_, what, path,
       std::strerror(errno));
}

// The file that is meant: symbolic links are followed, to a file that is not there yet too.
std::string NewFile::target_of(const std::string& path) const {
  std::filesystem::path target = path;
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(target, error); ++links) {
    errno = ELOOP;
    if (links == 40) fail_system("cannot follow the links of", path);
    target = target.parent_path() / std::filesystem::read_symlink(target, error);
  }
  return target.string();
}

NewFile::NewFile(std::string op, const std::string& path)
    : op_(std::move(op)), path_(target_of(path)) {
  struct stat old {};
  const bool exists = stat(path_.c_str(), &old) == 0;
  if (exists && !S_ISREG(old.st_mode)) {
    fail("{}: expected the name of a file; {} is a {}.", op_, path,
         S_ISDIR(old.st_mode) ? "folder" : "device");
  }
  // Not mkstemp: its file is for its owner alone.
  static std::atomic<int> number{0};
  do {
    temporary_ = fmt::format("{}.new-{}-{}", path_, getpid(), number.fetch_add(1));
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) fail_system("cannot create", path);
  if (exists) fchmod(fd_, old.st_mode & 0777);
}

NewFile::~NewFile() {
  if (fd_ >= 0) close(fd_);
  if (!done_) unlink(temporary_.c_str());
}

void NewFile::write(const void* data, size_t n) {
  const char* p = static_cast<const char*>(data);
  while (n > 0) {
    const ssize_t written = ::write(fd_, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_system("cannot write", path_);
    p += written;
    n -= static_cast<size_t>(written);
  }
}

void NewFile::finish() {
  if (fsync(fd_) != 0) fail_system("cannot flush", path_);
  if (close(std::exchange(fd_, -1)) != 0) fail_system("cannot close", path_);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_system("cannot rename to", path_);
  done_ = true;
  // The new name itself reaches the disk with the folder.
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  if (const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) {
    fsync(fd);
    close(fd);
  }
}

}  // namespace ramp
