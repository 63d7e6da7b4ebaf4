//! ee-emulator
